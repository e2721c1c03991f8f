#!/bin/sh
# Writes .env beside docker-compose.yml: .env.example with a fresh secret in every empty line. Never overwrites.
set -eu
umask 077

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
[ ! -e "$root/.env" ] || { echo "$root/.env exists already; its secrets are in use. Move it away first." >&2; exit 1; }

secret() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

while IFS= read -r line; do
    case $line in
        AIRFLOW_FERNET_KEY=) line=$line$(key) ;;
        [A-Z]*=) line=$line$(secret) ;;
    esac
    printf '%s\n' "$line"
done <"$root/.env.example" >"$root/.env.new"
mv "$root/.env.new" "$root/.env"
echo "Wrote $root/.env. The first user's name and password are AIRFLOW_ADMIN_USER and AIRFLOW_ADMIN_PASSWORD there."
