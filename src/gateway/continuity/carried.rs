//! What clients carry for the gateway: sealed, so that nothing can be forged, and a pointer before all else, for
//! the store has the truth.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Continuity, Scope};
use crate::dialect::{Echo, KeptRound, ProvenCall, digest_of_shown};
use crate::domain::{Digest, ToolCall, ToolResult};

/// A larger round is not carried by the client, only pointed at, bytes.
pub const MAX_CARRIED: usize = 64 << 10;

/// A seal that was made by this gateway, for this conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What was visible before the answer.
    pub before: Digest,
    /// What had been put back before it.
    pub lineage: Digest,
    /// The round, as far as it is carried.
    pub round: Option<KeptRound>,
    /// The call that was shown, where it is one.
    pub call: Option<ProvenCall>,
    /// Of the arguments and the result of that call as the client was shown them.
    pub shown: Option<Digest>,
    /// Of the round as it went up.
    pub went_up: Digest,
}

impl Continuity {
    /// Seals what a client is to carry, in letters, digits, `-` and `_`.
    pub fn seal_for(&self, scope: Scope, proof: &Proof) -> String {
        let plain = serde_json::to_vec(proof).unwrap_or_default();
        BASE64.encode(self.sealer.seal(scope.context(), &plain))
    }

    /// What an echo proves; `None` where it was forged, changed, or made for another conversation.
    pub fn proof_of(&self, scope: Scope, echo: &Echo) -> Option<Proof> {
        let (Echo::Call { seal, .. } | Echo::Seal(seal)) = echo;
        let opened = self.sealer.open(scope.context(), &BASE64.decode(seal).ok()?)?;
        let proof: Proof = serde_json::from_slice(&opened).ok()?;
        // A round's own seal has neither.
        (proof.call.is_some() == proof.shown.is_some() && proof.shown == echo.digest()).then_some(proof)
    }
}

impl Proof {
    /// What is proven of one call of the round, the result being what its client is shown.
    pub fn of_call(&self, call: &ToolCall, round: u32, position: usize, result: &ToolResult) -> Self {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let (call_id, name) = (call.id.clone(), call.name.clone());
        Self {
            round: None,
            call: Some(ProvenCall { round, position, call_id, name }),
            shown: Some(digest_of_shown(call, result)),
            ..self.clone()
        }
    }
}
