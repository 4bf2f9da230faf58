use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::KeyBody;
use crate::domain::Error;

/// The key that signed the request.
pub fn get(call: &Call<'_>) -> Result<Answer, Error> {
    Answer::ok(&KeyBody::of(&call.caller()?.key))
}
