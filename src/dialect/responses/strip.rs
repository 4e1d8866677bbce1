//! A turn that nobody can vouch for, without what its provider would refuse.

use super::element::{self, Claim, Element, Kind};
use super::item;
use crate::dialect::result;

/// A turn without reasoning, with what claims to be the gateway's as plain text; nothing where nothing is left.
pub fn turn(said: &[Element<'_>]) -> Vec<String> {
    let loses_reasoning = said.iter().any(|element| element.kind == Kind::Reasoning);
    let stays = |element: &Element<'_>| match element.kind {
        Kind::Reasoning | Kind::Seal | Kind::Listing => None,
        Kind::Reference if element::is_own(&element.id()) => None,
        Kind::Message if element.is_line() => None,
        Kind::Claim => Some(claim(&Claim::read(&element.fields))),
        _ if loses_reasoning => Some(item::without_id(element.text)),
        _ => Some(element.text.to_owned()),
    };
    said.iter().filter_map(stays).collect()
}

/// What a client says of a call that nobody vouches for, as a plain text of the assistant's.
fn claim(claim: &Claim) -> String {
    let call = result::unproven_call(&claim.server, &claim.tool, &claim.arguments);
    let result = result::unproven_result(&claim.result, claim.is_error);
    item::spoken(&format!("{call}\n{result}"))
}
