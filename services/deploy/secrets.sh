#!/bin/sh
# Makes .env from .env.example with secrets of its own; one that is there stays as it is.
#   services/deploy/secrets.sh [FILE]
set -eu
file=${1:-.env}
if [ -e "$file" ]; then
  echo "$file is there and stays as it is" >&2
  exit
fi
umask 077
while IFS= read -r line; do
  case $line in
    RNNLAB_ADMIN_TOKEN='made by the first start') prefix=rnnlab_ ;;
    *='made by the first start') prefix= ;;
    *) printf '%s\n' "$line"; continue ;;
  esac
  printf '%s=%s%s\n' "${line%%=*}" "$prefix" "$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')"
done <"$(dirname "$0")/../../.env.example" >"$file.part"
mv "$file.part" "$file" # whole or not at all
echo "made $file with new secrets" >&2
