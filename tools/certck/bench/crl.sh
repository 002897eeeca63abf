#!/bin/sh
# Checks, shows and makes a CRL of many entries beside openssl. Prints a JSON line for each run: wall and processor time in
# seconds, peak memory in KiB, and how many times openssl's time it took. Asserts nothing.
#
#   crl.sh BIN [ENTRIES]              BIN holds certck; ENTRIES is 1000000 unless given
#
# The CA and its CRL are made in $TMPDIR and removed. Needs python3, GNU time and openssl.
set -eu
bin=${1:?usage: crl.sh BIN [ENTRIES]}
entries=${2:-1000000}
for need in python3 /usr/bin/time openssl; do
    command -v "$need" >/dev/null || { echo "crl.sh: $need: is not installed" >&2; exit 2; }
done
"$bin/certck" --version >/dev/null || { echo "crl.sh: $bin/certck: does not run" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/certck-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"
"$bin/certck" mint -q pki >/dev/null
python3 - "$entries" <<'PYTHON'
import sys
with open("index", "w") as f:
    for n in range(int(sys.argv[1])):
        f.write(f"R\t491231235959Z\t261101000000Z\t40{n:014X}\tunknown\t/CN=node{n}\n")
PYTHON
printf '[ca]\ndefault_ca=x\n[x]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=90\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n' >config

# PROGRAM COMMAND...; what was not done with status 0 or 1 (findings) is told. The first of a row is openssl.
run() {
    program=$1; shift
    status=0
    /usr/bin/time -q -o time -f '%e %U %S %M' "$@" >out 2>err || status=$?
    if [ "$status" -gt 1 ]; then
        echo "crl.sh: $program: status $status: $(head -n 1 err)" >&2
        return 0
    fi
    read -r wall user system peak <time
    case $program in openssl*) peer_s=$wall ;; esac
    times=$(awk "BEGIN { if ($peer_s > 0) printf \"%.2f\", $wall / $peer_s; else print 0 }")
    printf '{"bench":"certck","program":"%s","entries":%s,"bytes":%s,"wall_s":%s,"user_s":%s,"system_s":%s,"peak_kib":%s,"times_openssl":%s}\n' \
        "$program" "$entries" "$(stat -c %s list.pem 2>/dev/null || echo 0)" "$wall" "$user" "$system" "$peak" "$times"
}

# A CRL of a higher number than the one that was minted, then one more certificate that is revoked.
echo 10 >number
run 'openssl ca -gencrl' openssl ca -gencrl -config config -keyfile pki/ca/ca.key -cert pki/ca/ca.crt -out list.pem
for dir in ca server_certs client_certs; do
    cp list.pem "pki/$dir/ca.crl"
    chmod 600 "pki/$dir/ca.crl"
done
run 'certck revoke' "$bin/certck" revoke -q pki/ca --unlisted --serial 7FFFFFFFFFFFFFFF
run 'openssl crl -verify' openssl crl -in list.pem -CAfile pki/ca/ca.crt -noout
run 'certck crl check' "$bin/certck" crl check -q --ca pki/ca/ca.crt list.pem
run 'certck check' "$bin/certck" check -q pki/server_certs
run 'openssl crl -text' openssl crl -in list.pem -noout -text
run 'certck show' "$bin/certck" show -q list.pem
run 'openssl verify -crl_check' openssl verify -crl_check -CAfile pki/ca/ca.crt -CRLfile list.pem pki/client_certs/client.crt
