#!/bin/sh
# Makes what the service reads, in the folder files: a CA, the certificates of two hosts and of a device, and the secret.
set -eu
umask 077
mkdir -p files
cd files

issue() { # the name of the file, the common name, and what the certificate is for
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=%s\n' "$2" "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt"
    cat "$1.crt" "$1.key" >"$1.pem"
    rm "$1.crt" "$1.key" "$1.csr" "$1.ext"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=fleet CA" -days 30 \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem
issue www www.fleet.example serverAuth
issue devices devices.fleet.example serverAuth
issue device device-1.fleet.example clientAuth
head -c 32 /dev/urandom >tickets.secret
