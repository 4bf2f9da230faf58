use super::super::respond::Answer;
use crate::domain::Error;
use crate::env::ServerEnv;

/// How the server is; 503 when it cannot serve.
pub async fn answer(env: &ServerEnv) -> Result<Answer, Error> {
    let health = env.health().await;
    if health.is_down() { Answer::down(&health) } else { Answer::ok(&health) }
}
