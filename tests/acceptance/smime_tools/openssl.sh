#!/usr/bin/env bash
# Writes what the `openssl` command makes of a text: a signed message or an envelope for each option that senders use.
# Arguments: signer's certificate and key, the recipient's and a stranger's certificate, the folder to write to.
set -euo pipefail
signer=$1 key=$2 recipient=$3 stranger=$4
cd "$5"
printf 'Site: UKI-TEST\nOwner: someone\n' >text

signed() { # CASE COMMAND OPTION…
    local case=$1 command=$2
    shift 2
    openssl "$command" -sign -text -in text -signer "$signer" -inkey "$key" -out "$case" "$@"
}
signed openssl-smime smime
signed openssl-cms cms
signed openssl-opaque smime -nodetach
signed openssl-stream cms -nodetach -stream
signed openssl-keyid cms -keyid
signed openssl-certfile smime -certfile "$stranger"
signed openssl-nosmimecap smime -nosmimecap
signed openssl-receipt-request cms -receipt_request_from a@example.org -receipt_request_to b@example.org
signed openssl-pss cms -keyopt rsa_padding_mode:pss
signed openssl-pss-digest cms -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:-1
signed openssl-pss-none cms -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:0
signed openssl-pss-mgf1 cms -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1
signed openssl-nocerts smime -nocerts
signed openssl-noattr smime -noattr
signed openssl-sha1 smime -md sha1
signed openssl-sha224 smime -md sha224
signed openssl-sha3 cms -md sha3-256
openssl cms -sign -binary -in text -signer "$signer" -inkey "$key" -out openssl-binary
openssl smime -sign -text -in text -signer "$signer" -inkey "$key" -signer "$signer" -inkey "$key" -out openssl-two-signers

enveloped() { # CASE OPTION…
    local case=$1
    shift
    openssl cms -encrypt -in openssl-smime -out "$case" "$@"
}
enveloped openssl-aes128 -aes128 "$recipient"
enveloped openssl-aes256 -aes256 "$recipient"
enveloped openssl-envelope-stream -stream -aes256 "$recipient"
enveloped openssl-gcm -aes-256-gcm "$recipient"
enveloped openssl-envelope-keyid -keyid -aes256 "$recipient"
enveloped openssl-for-two -aes256 "$stranger" "$recipient"
enveloped openssl-oaep -aes256 -recip "$recipient" -keyopt rsa_padding_mode:oaep
enveloped openssl-oaep-sha256 -aes256 -recip "$recipient" -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256
enveloped openssl-for-others -aes256 "$stranger"
enveloped openssl-for-others-keyid -keyid -aes256 "$stranger"
enveloped openssl-3des -des3 "$recipient"
enveloped openssl-aes128-gcm -aes-128-gcm "$recipient"
{ cat openssl-smime; echo 'text after the message'; } >after
openssl cms -encrypt -aes256 -in after -out openssl-text-after "$recipient"
openssl cms -encrypt -aes-256-gcm -in after -out openssl-text-after-gcm "$recipient"
openssl smime -sign -text -subject records -in text -signer "$signer" -inkey "$key" -out after
openssl cms -encrypt -aes256 -in after -out openssl-other-header "$recipient"
openssl cms -compress -in text -out openssl-compressed 2>/dev/null ||
    openssl cms -data_create -in text -out openssl-compressed
openssl cms -encrypt -aes256 -in text -out openssl-envelope-unsigned "$recipient"
rm text after
