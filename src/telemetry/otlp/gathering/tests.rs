use super::*;
use crate::telemetry::testing;

fn begun(gathering: &mut Gathering) -> (InterceptionId, Vec<Published>) {
    let mut records = testing::interception();
    let start = records.remove(0);
    let Row::Start(row) = &start.row else { panic!("{start:?}") };
    let id = row.id;
    assert!(gathering.take(start).is_none());
    (id, records)
}

#[test]
fn texts_have_a_bound_and_what_has_none_left_goes_without() {
    let mut gathering = Gathering::new(Record::Full);
    let (_, mut records) = begun(&mut gathering);
    let end = records.pop().unwrap();
    records[0].text = Some("x".repeat(TEXTS).into());
    assert!(records.into_iter().all(|record| gathering.take(record).is_none()));
    assert_eq!(gathering.texts, TEXTS);
    let texts = 6;
    assert_eq!(gathering.take_lost(), texts - 1, "that their texts are missing is said");
    let whole = gathering.take(end).unwrap();
    assert_eq!((whole.records.len(), whole.records.iter().map(text_of).sum()), (8, TEXTS));
    assert_eq!((gathering.texts, gathering.records), (0, 0));
    let (_, records) = begun(&mut gathering);
    let whole = records.into_iter().find_map(|record| gathering.take(record)).unwrap();
    assert!(whole.records.iter().any(|record| record.text.is_some()), "there is room again");
}

#[test]
fn records_have_a_bound_and_the_oldest_interception_makes_room() {
    let mut gathering = Gathering::new(Record::None);
    let (oldest, records) = begun(&mut gathering);
    let prompt = &records[0];
    let of = |id: InterceptionId| {
        let mut record = prompt.clone();
        if let Row::Prompt(row) = &mut record.row {
            row.interception_id = id;
        }
        record
    };
    for n in 0..=MOST {
        assert_eq!(gathering.take_lost(), 0, "{n}");
        gathering.take(of(oldest));
    }
    assert_eq!(gathering.take_lost(), 1, "one interception may not take the place of all");
    while gathering.records < RECORDS {
        let (id, _) = begun(&mut gathering);
        for _ in 0..MOST.min(RECORDS - gathering.records) {
            gathering.take(of(id));
        }
    }
    assert_eq!(gathering.take_lost(), 0);
    let (newest, _) = begun(&mut gathering);
    gathering.take(of(newest));
    assert_eq!((gathering.take_lost(), gathering.records), (1 + MOST, RECORDS + 1 - MOST));
    assert!(gathering.open.get(oldest).is_none() && gathering.open.get(newest).is_some());
}

#[test]
fn what_another_gateway_has_ended_is_given_up() {
    let mut gathering = Gathering::new(Record::Full);
    let (id, mut records) = begun(&mut gathering);
    for record in records.drain(..3) {
        gathering.take(record);
    }
    gathering.take(testing::late_end(id));
    assert_eq!(
        (gathering.take_lost(), gathering.records, gathering.texts, gathering.open.len()),
        (4, 0, 0, 0)
    );
}
