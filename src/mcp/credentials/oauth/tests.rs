use super::*;

#[test]
fn a_server_is_named_without_what_is_nobodys_business() {
    let name = |url: &str| resource_of(&url.parse().unwrap());
    assert_eq!(name("https://user:pw@mcp.test/mcp?key=s3cret#x"), "https://mcp.test/mcp");
    assert_eq!(name("https://mcp.test"), "https://mcp.test");
    assert_eq!(name("https://mcp.test/a/"), "https://mcp.test/a/");
}

#[test]
fn a_challenge_is_that_of_rfc_7636() {
    // Appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
    assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[test]
fn no_two_random_words_are_alike() {
    let (one, other) = (random_word(), random_word());
    assert_ne!(one.expose_secret(), other.expose_secret());
    assert_eq!(one.expose_secret().len(), 43);
}
