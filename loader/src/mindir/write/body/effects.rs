//! The order of effects as tokens that nodes take and give.

use super::super::super::framework::Framework;
use super::super::tokens::Token;
use super::super::value;
use super::Body;

impl Body<'_, '_> {
    pub(super) fn state(&mut self, io: bool) -> Option<&mut Token> {
        if io { self.io.as_mut() } else { self.memory.as_mut() }
    }

    /// The current token, after everything that is pending.
    pub(super) fn flush(&mut self, io: bool) -> String {
        let Some(token) = self.state(io) else { return String::new() };
        if token.pending.is_empty() {
            return token.current.clone();
        }
        let pending = std::mem::take(&mut token.pending);
        self.update(io, pending)
    }

    /// The token after `done` and what is pending.
    pub(super) fn update(&mut self, io: bool, done: Vec<String>) -> String {
        let Some(token) = self.state(io) else { return String::new() };
        let (kind, current) = (token.kind, token.current.clone());
        let inputs = [current].into_iter().chain(done).collect();
        let description = value::token("shape", kind);
        let name = self.framework(Framework::UpdateState, &Vec::new(), "state", inputs, Some(description));
        if let Some(token) = self.state(io) {
            token.advance(name.clone());
        }
        name
    }
}
