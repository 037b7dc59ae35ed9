set -e
export OPENSSL_CONF=/dev/null
cat > req.cnf <<'C'
[req]
distinguished_name=dn
prompt=no
string_mask=utf8only
[dn]
C=DE
O=Acme Plant
serialNumber=SN-0042
CN=pump 7
[san]
subjectAltName=DNS:pump-7.plant.example,IP:192.0.2.7,IP:2001:db8::7,URI:urn:dev:ops:32473-pump-7,email:ops@plant.example,otherName:1.3.6.1.5.5.7.8.4;SEQ:hmn
[hmn]
hwType=OID:1.3.6.1.4.1.32473.1
hwSerialNum=FORMAT:HEX,OCT:0001ff
C
key() { openssl genpkey -out $1.key "${@:2}" 2>/dev/null; }
key p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
key p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
key ed25519 -algorithm ED25519
key rsa2048 -algorithm RSA -pkeyopt rsa_keygen_bits:2048
key rsa1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
req() { openssl req -new -config req.cnf -reqexts san -outform DER -out csr-$1.der -key $2.key "${@:3}"; }
req p256 p256 -sha256
req p384 p384 -sha384
req p521 p521 -sha512
req ed25519 ed25519
req rsa2048 rsa2048 -sha256
req rsa2048-pss rsa2048 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32
req p256-sha1 p256 -sha1
req rsa1024 rsa1024 -sha256
openssl req -new -config req.cnf -outform DER -out csr-no-extensions.der -key p256.key
# a chain with everything in it
cat > ca.cnf <<'C'
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[issuing]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
crlDistributionPoints=URI:http://pki.example/root.crl
nameConstraints=critical,permitted;DNS:plant.example,permitted;IP:192.0.2.0/255.255.255.0,permitted;IP:2001:db8::/ffff:ffff::,permitted;dirName:within,excluded;DNS:office.plant.example
certificatePolicies=1.3.6.1.4.1.32473.2
[within]
C=DE
O=Acme Plant
[leaf]
basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth,1.3.6.1.5.5.7.3.41
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always,issuer
subjectAltName=DNS:pump-7.plant.example,IP:192.0.2.7,IP:2001:db8::7
crlDistributionPoints=URI:http://pki.example/1.crl,URI:http://other.example/1.crl
authorityInfoAccess=OCSP;URI:http://pki.example/ocsp,caIssuers;URI:http://pki.example/issuing.cer
certificatePolicies=1.3.6.1.4.1.32473.2
[office]
basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth
authorityKeyIdentifier=keyid:always
subjectAltName=DNS:desk.office.plant.example
C
openssl req -x509 -new -config req.cnf -subj "/C=DE/O=Acme Plant/CN=Root" -key p384.key -sha384 -days 36500 -set_serial 0x7a01020304050607 -extensions root -config <(cat req.cnf ca.cnf) -outform DER -out chain-root.der
sign() { # name subject key ext cakey cacert days serial
 openssl req -new -config req.cnf -subj "$2" -key $3.key -out t.csr
 openssl x509 -req -in t.csr -CA $6 -CAkey $5.key -CAform DER -days $7 -set_serial $8 -extfile ca.cnf -extensions $4 -outform DER -out $1.der "${@:9}" 2>/dev/null; }
sign chain-issuing "/C=DE/O=Acme Plant/CN=Issuing" rsa2048 issuing p384 chain-root.der 36000 0x7a01020304050608 -sha384
sign chain-leaf "/C=DE/O=Acme Plant/serialNumber=SN-0042/CN=pump 7" p256 leaf rsa2048 chain-issuing.der 30000 0x7a01020304050609 -sha256
sign chain-leaf-office "/C=DE/O=Acme Plant/CN=desk" p256 office rsa2048 chain-issuing.der 30000 0x7a0102030405060a -sha256
sign chain-leaf-elsewhere "/C=DE/O=Other/CN=pump 7" p256 leaf rsa2048 chain-issuing.der 30000 0x7a0102030405060b -sha256
# what import must tolerate
x() { openssl req -x509 -new -config req.cnf -key $2.key -days 3650 -outform DER -out flaw-$1.der "${@:3}"; }
x negative-serial p256 -set_serial -5
x zero-serial p256 -set_serial 0
x long-serial p256 -set_serial 0x0102030405060708090a0b0c0d0e0f101112131415161718
x sha1 p256 -sha1 -set_serial 1
x rsa1024 rsa1024 -set_serial 1
sed 's/utf8only/MASK:4096/' req.cnf > t61.cnf
openssl req -new -config req.cnf -key p256.key -out v1.csr
openssl x509 -req -in v1.csr -signkey p256.key -set_serial 7 -days 3650 -outform DER -out flaw-version1.der 2>/dev/null
# an identity from birth that never ends
openssl ca -version >/dev/null 2>&1 || true
mkdir -p db; : > db/index; echo 7a0102030405060c > db/serial
cat > idev.cnf <<'C'
[ca]
default_ca=d
[d]
database=db/index
serial=db/serial
new_certs_dir=db
default_md=sha256
policy=p
unique_subject=no
[p]
organizationName=optional
serialNumber=optional
[idev]
keyUsage=critical,digitalSignature
authorityKeyIdentifier=keyid:always
crlDistributionPoints=URI:http://maker.example/1.crl
subjectAltName=otherName:1.3.6.1.5.5.7.8.4;SEQ:hmn
[hmn]
hwType=OID:1.3.6.1.4.1.32473.1
hwSerialNum=FORMAT:HEX,OCT:0001ff
C
openssl req -new -config req.cnf -subj "/O=Acme Pumps/serialNumber=SN-0042" -key p256.key -out i.csr
openssl x509 -inform DER -in chain-root.der -out root.pem
openssl ca -batch -config idev.cnf -cert root.pem -keyfile p384.key -in i.csr -startdate 20260101000000Z -enddate 99991231235959Z -extensions idev -notext -out i.pem -preserveDN 2>/dev/null
openssl x509 -in i.pem -outform DER -out idevid-never.der
