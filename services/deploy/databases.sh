#!/bin/sh
# Two databases, each with an owner of its own: MLflow and the lab both keep a table `alembic_version`.
set -eu
make() { # NAME PASSWORD
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --set name="$1" --set password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}
make lab "$LAB_PASSWORD"
make mlflow "$MLFLOW_PASSWORD"
