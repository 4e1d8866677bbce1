//! Verification: whether the records are what the chains and checkpoints say, row by row, with bounded memory.
//!
//! What is missing is excused only as far as events of retention and erasure tell of it, and these events are rows of
//! the chains like all others.

mod checkpoints;
mod chains;
mod excuses;
mod rows;
mod texts;
mod unnamed;
mod who;

use std::fmt;

use serde::Serialize;

use self::excuses::Excuses;
use self::unnamed::Unnamed;
use self::who::Keys;
use super::retention::Pruned;
use crate::config;
use crate::seal::Sealer;
use crate::store::checkpoints::Checkpoint;
use crate::store::links::Run;
use crate::store::records::RowKey;
use crate::store::records::keys::Table;
use crate::store::{Store, instances};

/// The most findings that are told one by one.
const TOLD: usize = 1000;

/// What there is to verify with.
#[derive(Debug, Default)]
pub struct Evidence<'a> {
    /// Opens the keys of people: without it, neither texts nor who it was can be checked.
    pub sealer: Option<&'a Sealer>,
    /// Who may sign checkpoints (base64); where there is none, each checkpoint is taken at its own word.
    pub public_keys: Vec<String>,
    /// Checkpoints that were kept elsewhere.
    pub checkpoints: Vec<Checkpoint>,
    /// For how long everything is kept; where that is not known, retention is taken at its own word.
    pub retention: Option<config::Retention>,
}

/// What was looked at, and what is wrong.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Chains.
    pub chains: u64,
    /// Links of chains.
    pub links: u64,
    /// Rows that are as their links say.
    pub rows: u64,
    /// Rows that are gone because they were too old.
    pub pruned: u64,
    /// Rows of which it is proven who it was.
    pub identities: u64,
    /// Texts that are what their ids say.
    pub texts: u64,
    /// Texts and identities that could not be checked, because the key to them is thrown away, or not here.
    pub unreadable: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// What may be missing because it was too old.
    pub retention: Pruned,
    /// What is wrong, the first first.
    pub findings: Vec<Finding>,
    /// How many more things are wrong.
    pub more: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// The row: an interception's id for all that belongs to one.
    pub id: String,
    /// Its place among the records of the interception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
    /// What is wrong.
    pub what: String,
    /// The link that says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Place>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// Its place in the chain.
    pub seq: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

impl Finding {
    fn of_row(key: RowKey, what: impl Into<String>, link: Option<&Place>) -> Self {
        Self {
            table: Table::of(key.kind),
            id: key.id.to_string(),
            seq: Table::has_seq(key.kind).then_some(key.seq),
            what: what.into(),
            link: link.cloned(),
        }
    }

    fn of(table: &'static str, id: impl fmt::Display, what: impl Into<String>) -> Self {
        Self { table, id: id.to_string(), seq: None, what: what.into(), link: None }
    }
}

impl Place {
    fn of(run: &Run, seq: u64) -> Self {
        Self { instance: run.instance.clone(), epoch: run.epoch, seq }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {} of {}, run {}", self.seq, self.instance, self.epoch)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.id)?;
        if let Some(seq) = self.seq {
            write!(f, " seq {seq}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.link {
            Some(link) => write!(f, " ({link})"),
            None => Ok(()),
        }
    }
}

/// Verifies everything. The error says that the store could not be read, not that something is wrong.
pub async fn verify(store: &Store, evidence: &Evidence<'_>) -> Result<Report, sqlx::Error> {
    let mut verification = Verification {
        store,
        evidence,
        excuses: Excuses::read(store).await?,
        keys: Keys::new(evidence.sealer),
        unnamed: Unnamed::default(),
        report: Report::default(),
    };
    verification.all().await?;
    let Verification { mut report, excuses, .. } = verification;
    report.retention = excuses.pruned;
    Ok(report)
}

/// A verification under way.
struct Verification<'a> {
    store: &'a Store,
    evidence: &'a Evidence<'a>,
    excuses: Excuses,
    keys: Keys<'a>,
    unnamed: Unnamed,
    report: Report,
}

impl Verification<'_> {
    async fn all(&mut self) -> Result<(), sqlx::Error> {
        self.check_excuses();
        // Rows first, links afterwards: whoever writes meanwhile adds links for all rows that were seen.
        let parts = self.unnamed.begin(self.store, &mut self.report).await?;
        self.check_chains().await?;
        self.report_unnamed().await?;
        for part in 1..parts {
            self.unnamed.collect(self.store, part, parts).await?;
            self.unnamed.strike_all(self.store).await?;
            self.report_unnamed().await?;
        }
        self.check_runs().await?;
        self.check_texts().await?;
        self.check_checkpoints().await
    }

    /// Who has ended has left nothing open.
    async fn check_runs(&mut self) -> Result<(), sqlx::Error> {
        for (run, id) in instances::ended_with_open(self.store).await? {
            let Run { instance, epoch } = run;
            let what = format!("it has no end, but run {epoch} of {instance} has ended");
            self.report.find(Finding::of("interceptions", id, what));
        }
        Ok(())
    }
}
