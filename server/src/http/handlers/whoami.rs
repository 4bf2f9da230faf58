use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::KeyBody;
use crate::domain::Error;
use crate::domain::principal::Identity;

/// The key that signed the request.
pub fn get(call: &Call<'_>) -> Result<Answer, Error> {
    match &call.principal()?.identity {
        Identity::Key(key) => Answer::ok(&KeyBody::of(key)),
        Identity::CommandLine => Err(Error::NotFound("key")),
    }
}
