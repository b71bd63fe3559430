#!/bin/sh
# Puts a backup of backup.sh into a cluster whose volumes are new: after `docker compose down --volumes`, or elsewhere.
#   services/deploy/restore.sh FOLDER         (COMPOSE="docker compose -p name" for another project than the folder's)
set -eu
folder=${1:?the folder of a backup}
compose=${COMPOSE:-$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)}
[ -e "$folder/complete" ] || { echo "error: $folder holds no complete backup; name one that backup.sh made" >&2; exit 1; }

as_postgres() { $compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec "$@"' sh "$@"; }
tables="SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

$compose up --detach postgres
for _ in $(seq 60); do # over the network: the first start makes the databases before it listens there
  $compose exec -T postgres sh -c 'PGPASSWORD=$LAB_PASSWORD psql -h postgres -U lab -d lab -c "SELECT 1"' \
    >/dev/null 2>&1 && break
  sleep 2
done
if [ "$(as_postgres psql --host localhost --username postgres --dbname lab -tAc "$tables" </dev/null)" != 0 ]; then
  echo "error: the lab database must be new, but has tables; remove the old volumes first: $compose down --volumes" >&2
  exit 1
fi
for database in lab mlflow; do
  as_postgres pg_restore --host localhost --username postgres --exit-on-error --single-transaction \
    --dbname "$database" <"$folder/$database.dump"
done
$compose run --rm --no-deps -T migrate tar -C /data -xf - <"$folder/data.tar"
$compose run --rm --no-deps -T mlflow tar -C /artifacts -xf - <"$folder/artifacts.tar"
$compose up --detach
