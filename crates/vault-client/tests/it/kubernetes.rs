//! Logins with the token of a Kubernetes service account.
//!
//! A fake server stands in for Kubernetes and answers the `TokenReview` requests of OpenBao.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use stack::vault::Vault;

use crate::fake_server::{FakeServer, Request};
use crate::fixtures::{RootApi, read, read_failure, session};

/// The token of the service account `health` in the namespace `default`. Its signature is not valid; only Kubernetes could verify it.
///
/// Its claims are `{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"default","kubernetes.io/serviceaccount/secret.name":"health-token","kubernetes.io/serviceaccount/service-account.name":"health","kubernetes.io/serviceaccount/service-account.uid":"uid-1","sub":"system:serviceaccount:default:health"}`.
const JWT: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InRlc3QifQ.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50Iiwia3ViZXJuZXRlcy5pby9zZXJ2aWNlYWNjb3VudC9uYW1lc3BhY2UiOiJkZWZhdWx0Iiwia3ViZXJuZXRlcy5pby9zZXJ2aWNlYWNjb3VudC9zZWNyZXQubmFtZSI6ImhlYWx0aC10b2tlbiIsImt1YmVybmV0ZXMuaW8vc2VydmljZWFjY291bnQvc2VydmljZS1hY2NvdW50Lm5hbWUiOiJoZWFsdGgiLCJrdWJlcm5ldGVzLmlvL3NlcnZpY2VhY2NvdW50L3NlcnZpY2UtYWNjb3VudC51aWQiOiJ1aWQtMSIsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDpkZWZhdWx0OmhlYWx0aCJ9.bm8gc2lnbmF0dXJlIHRoYXQgYW55Ym9keSBjaGVja3M";

/// Answers a `TokenReview` as Kubernetes does.
fn review(request: &Request) -> (u16, String, String) {
    let is_genuine = request.body.contains(JWT);
    let user = json!({
        "username": "system:serviceaccount:default:health",
        "uid": "uid-1",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default"],
    });
    let status = if is_genuine { json!({"authenticated": true, "user": user}) } else { json!({}) };
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "status": status,
    });
    (201, "content-type: application/json\r\n".to_owned(), review.to_string())
}

#[tokio::test]
async fn the_token_of_a_service_account_is_read_again_for_each_login() {
    let kubernetes = FakeServer::start(review);
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    vault.call("PUT", "sys/policies/acl/health", &json!({"policy": allowed}));
    vault.call("POST", "sys/auth/clusters/one", &json!({"type": "kubernetes"}));
    let config = json!({
        // Required by OpenBao, although the fake server does not use TLS.
        "kubernetes_ca_cert": probe_testkit::Authority::new("clusters").pem,
        "kubernetes_host": format!("http://{}", kubernetes.address),
        "token_reviewer_jwt": JWT,
        "disable_local_ca_jwt": true,
    });
    vault.call("POST", "auth/clusters/one/config", &config);
    let role = json!({
        "bound_service_account_names": ["health"],
        "bound_service_account_namespaces": ["default"],
        "token_policies": ["health"],
    });
    vault.call("POST", "auth/clusters/one/role/gateway", &role);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(&large, vec![b'a'; 1024 * 1024 + 1]).unwrap();
    let session = session(&format!(
        "url = 'http://127.0.0.1:{}'\nlogin = 'kubernetes'\nmount = 'clusters/one'\nrole = 'gateway'\njwt_file = '{}'\n",
        vault.port(),
        file.display()
    ));
    assert_eq!(
        read_failure(&session, "secret/app").await,
        format!("login: cannot read `{}`: no such file or directory", file.display())
    );
    for (special, error) in [
        ("/dev/zero", "it is not a regular file"),
        ("/dev", "it is not a regular file"),
        (pipe.to_str().unwrap(), "it is not a regular file"),
        (large.to_str().unwrap(), "it is larger than 1048576 bytes"),
    ] {
        symlink(special, &file).unwrap();
        let expected = format!("login: cannot read `{}`: {error}", file.display());
        assert_eq!(read_failure(&session, "secret/app").await, expected);
        fs::remove_file(&file).unwrap();
    }
    fs::write(&file, format!("{}x\n", &JWT[..JWT.len() - 4])).unwrap();
    let line = read_failure(&session, "secret/app").await;
    assert!(line.starts_with("login: kubernetes login refused: "), "{line}");
    fs::write(&file, format!("{JWT}\n")).unwrap();
    assert_eq!(read(&session, "secret/app").await["a"], "b");
    assert!(kubernetes.requests().iter().any(|request| request.head.contains("/tokenreviews ")));
}
