#!/bin/sh
# A backup of everything that a cluster keeps: both databases, MLflow's artifacts and the files of sweeps.
#   services/deploy/backup.sh FOLDER          (COMPOSE="docker compose -p name" for another project than the folder's)
# What writes is stopped meanwhile, so that the four belong together; sweeps go on by themselves afterwards.
# Keep .env too: it has the passwords, and the admin's token.
set -eu
folder=${1:?a folder for the backup, as backups/2026-11-24}
compose=${COMPOSE:-$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)}
umask 077
mkdir -p "$folder"
[ ! -e "$folder/complete" ] || { echo "error: $folder holds a backup already; name another folder" >&2; exit 1; }

trap '$compose up --detach --no-recreate >/dev/null' EXIT
$compose stop service ray-worker ray-head mlflow
for database in lab mlflow; do
  $compose exec -T postgres sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec "$@"' sh \
    pg_dump --host localhost --username postgres --format custom "$database" >"$folder/$database.dump"
done
$compose run --rm --no-deps -T migrate tar -C /data -cf - . >"$folder/data.tar"
$compose run --rm --no-deps -T mlflow tar -C /artifacts -cf - . >"$folder/artifacts.tar"
touch "$folder/complete"
ls -l "$folder"
