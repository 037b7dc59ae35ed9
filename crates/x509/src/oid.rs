//! The object identifiers we know by name.

use crate::der::ObjectIdentifier;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    /// commonName.
    COMMON_NAME = "2.5.4.3";
    /// The serialNumber attribute of a name (not the certificate's serial).
    SERIAL_NUMBER = "2.5.4.5";
    /// countryName.
    COUNTRY = "2.5.4.6";
    /// localityName.
    LOCALITY = "2.5.4.7";
    /// stateOrProvinceName.
    STATE = "2.5.4.8";
    /// organizationName.
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName.
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    /// emailAddress in a name (PKCS#9, legacy).
    EMAIL_ADDRESS = "1.2.840.113549.1.9.1";

    /// extensionRequest attribute of a PKCS#10 (RFC 2985 5.4.2).
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

    /// subjectKeyIdentifier.
    SUBJECT_KEY_ID = "2.5.29.14";
    /// keyUsage.
    KEY_USAGE = "2.5.29.15";
    /// subjectAltName.
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// basicConstraints.
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// nameConstraints.
    NAME_CONSTRAINTS = "2.5.29.30";
    /// cRLDistributionPoints.
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies.
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// policyMappings.
    POLICY_MAPPINGS = "2.5.29.33";
    /// authorityKeyIdentifier.
    AUTHORITY_KEY_ID = "2.5.29.35";
    /// policyConstraints.
    POLICY_CONSTRAINTS = "2.5.29.36";
    /// extKeyUsage.
    EXT_KEY_USAGE = "2.5.29.37";
    /// inhibitAnyPolicy.
    INHIBIT_ANY_POLICY = "2.5.29.54";
    /// noRevAvail (RFC 9608).
    NO_REV_AVAIL = "2.5.29.56";
    /// authorityInfoAccess.
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1).
    OCSP_NOCHECK = "1.3.6.1.5.5.7.48.1.5";
    /// Access method of an OCSP responder.
    AD_OCSP = "1.3.6.1.5.5.7.48.1";
    /// Access method of the issuer's certificate.
    AD_CA_ISSUERS = "1.3.6.1.5.5.7.48.2";

    /// anyExtendedKeyUsage.
    ANY_EXT_KEY_USAGE = "2.5.29.37.0";
    /// TLS server.
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// TLS client.
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// Delegated OCSP responder.
    OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
    /// Registration authority for CMC and EST (RFC 6402).
    CMC_RA = "1.3.6.1.5.5.7.3.28";
    /// Signing of configuration (RFC 9809).
    CONFIG_SIGNING = "1.3.6.1.5.5.7.3.41";
    /// Signing of trust anchor configuration (RFC 9809).
    TRUST_ANCHOR_CONFIG_SIGNING = "1.3.6.1.5.5.7.3.42";
    /// Signing of update packages (RFC 9809).
    UPDATE_PACKAGE_SIGNING = "1.3.6.1.5.5.7.3.43";
    /// Safety communication (RFC 9809).
    SAFETY_COMMUNICATION = "1.3.6.1.5.5.7.3.44";

    /// hardwareModuleName in an otherName (RFC 4108 5).
    HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4";

    /// id-ecPublicKey.
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// Curve P-256.
    SECP256R1 = "1.2.840.10045.3.1.7";
    /// Curve P-384.
    SECP384R1 = "1.3.132.0.34";
    /// Curve P-521.
    SECP521R1 = "1.3.132.0.35";
    /// Ed25519 (RFC 8410).
    ED25519 = "1.3.101.112";
    /// rsaEncryption.
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
}
