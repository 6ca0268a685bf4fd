use super::*;
use crate::guard::certificate::Certificate;
use crate::guard::tests::document;

fn board() -> Board {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut board = Board::new(document().into(), 42, Stance::Withdrawn, at(1_800_000_000));
    let proven = |name: &str, why: Option<&str>| Proven::new(name, Duration::from_millis(2), why.map(str::to_owned));
    board.round(vec![proven("neighbour", None), proven("consul", Some("no \"leader\""))]);
    let name = "hippo.example.org".to_owned();
    let certificate = Some(Certificate { name, expires: 1_830_000_000 });
    board.round(vec![proven("neighbour", None), Proven { away: true, ..proven("consul", Some("no leader")) }]);
    board.round(vec![proven("neighbour", None), Proven { certificate, ..proven("consul", None) }]);
    board.restored(2);
    board.bird("normal".into(), |name| name == "metal_v4_1");
    let change = Change { from: Stance::Withdrawn, proof: None, why: "every proof has held once".into() };
    board.change(Stance::Announced, &change, at(1_800_000_060));
    board
}

#[test]
fn the_status_says_where_the_guard_stands_since_when_and_why() {
    let status = board().status();
    assert_eq!((status.stance.as_str(), status.since.as_str(), status.pid), ("announced", "2027-01-15T08:01:00Z", 42));
    assert_eq!(status.why, "every proof has held once");
    let shown: Vec<_> = status.proofs.iter().map(|shown| (shown.name.as_str(), shown.holds)).collect();
    assert_eq!(shown, [("neighbour", true), ("consul", true)]);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<GuardStatus>(&text.replacen('{', "{\"mood\":1,", 1)).unwrap(), status);
}

#[test]
fn metrics_have_a_sample_for_everything_that_was_looked_at() {
    let metrics = board().metrics();
    for line in [
        "anymetal_guard_announced 1",
        "anymetal_guard_stance{stance=\"announced\"} 1",
        "anymetal_guard_stance{stance=\"withdrawn\"} 0",
        "anymetal_guard_bird_holds{what=\"normal\"} 1",
        "anymetal_guard_stance_since_seconds 1800000060",
        "anymetal_guard_proof_holds{proof=\"consul\"} 1",
        "anymetal_guard_proof_duration_seconds{proof=\"neighbour\"} 0.002000",
        "anymetal_guard_proof_failures_total{proof=\"consul\"} 2",
        "anymetal_guard_addresses_restored_total 2",
        "anymetal_guard_certificate_expires_seconds{name=\"hippo.example.org\"} 1830000000",
        "anymetal_guard_rounds_total{result=\"bad\"} 1",
        "anymetal_guard_rounds_total{result=\"away\"} 1",
        "anymetal_guard_rounds_total{result=\"good\"} 1",
        "anymetal_guard_changes_total{to=\"announced\"} 1",
        "anymetal_guard_neighbour_established{neighbour=\"metal_v4_1\"} 1",
        "anymetal_guard_neighbour_established{neighbour=\"metal_v4_2\"} 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} has no type");
    }
}

#[test]
fn what_bird_was_made_to_hold_is_shown_before_the_next_round_has_looked() {
    let mut board = board();
    board.holds("drain".into());
    let metrics = board.metrics();
    assert!(metrics.contains("anymetal_guard_bird_holds{what=\"drain\"} 1"), "{metrics}");
    assert!(metrics.contains("anymetal_guard_bird_holds{what=\"normal\"} 0"), "{metrics}");
}
