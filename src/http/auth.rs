//! The operator API's bearer token.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Edge;
use super::answer::{self, ApiError};

/// The token, as a hash: comparing hashes of equal length in constant time tells nothing of it.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// The token `text`.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    fn is(&self, text: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        self.0.ct_eq(&given).into()
    }
}

impl Edge {
    /// Lets in who has the operator's token.
    pub(super) fn authorize(&self, request: &HttpRequest) -> Result<(), ApiError> {
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
        if token.is_some_and(|token| self.shared.admin.is(token.trim())) {
            return Ok(());
        }
        let message = "send `Authorization: Bearer <token>`; the token is POINTSMAN_ADMIN_TOKEN, or stands in `admin.token` in the data directory";
        Err(answer::error(StatusCode::UNAUTHORIZED, "unauthorized", message))
    }

    /// Health and metrics are open unless the configuration says otherwise.
    pub(super) fn authorize_metrics(&self, request: &HttpRequest) -> Result<(), ApiError> {
        if self.shared.guard_metrics { self.authorize(request) } else { Ok(()) }
    }
}
