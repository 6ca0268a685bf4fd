//! Every path of a node that builder and init both know, or that an operator may rely on.
//! Absolute, to be put under a root by whoever touches them.

/// What user-data pins ([`crate::Pins`]), 0644, dropped by cloud-init.
pub const PINS: &str = "/etc/anymetal/pins";
/// The release ([`crate::Release`]) that the node runs, 0644: fetched by the digest in [`PINS`], or dropped by cloud-init.
pub const RELEASE: &str = "/etc/anymetal/release.json";
/// The plan of that release, canonical JSON, 0644: fetched by its digest, or dropped by cloud-init.
pub const PLAN: &str = "/etc/anymetal/plan.json";
/// The secrets, JSON ([`crate::Secrets`]), 0600, dropped by cloud-init when they come in the user-data.
pub const SECRETS: &str = "/etc/anymetal/secrets.json";
/// Certificates of the cluster, made on the node: for each of the plan's `<name>.pem`, 0644, and its key `<name>-key.pem`, 0600.
pub const TLS: &str = "/etc/anymetal/tls";
/// The certificate of the site's CA, 0644.
pub const CA: &str = "/etc/anymetal/tls/ca.pem";
/// Labels of volumes that may hold the secrets or the machine's description, in the order they are looked at: one of their own, or the seed cloud-init reads.
pub const MEDIUM: [&str; 3] = ["ANYMETAL", "cidata", "CIDATA"];
/// The secrets' name on such a volume, at its top.
pub const MEDIUM_SECRETS: &str = "anymetal-secrets.json";
/// What the machine is, JSON, 0600, on a machine that no platform describes: brought by the operator's own cloud-config or image, or
/// kept here from a volume.
pub const MACHINE: &str = "/etc/anymetal/machine.json";
/// The same on a volume, at its top; [`MEDIUM`] are the labels.
pub const MEDIUM_MACHINE: &str = "anymetal-machine.json";
/// Who may sign releases: public keys in minisign's form, one per line, 0644. While there is such a file, init refuses a release that none of
/// them signed.
pub const SIGNERS: &str = "/etc/anymetal/signers";
/// The release's detached signature, in minisign's form.
pub const SIGNATURE: &str = "/etc/anymetal/release.json.minisig";
/// A bundle ([`crate::bundle`]) on the node's own disk.
pub const BUNDLE: &str = "/var/lib/anymetal/bundle.tar";
/// The same on a volume, at its top; [`MEDIUM`] are the labels.
pub const MEDIUM_BUNDLE: &str = "anymetal-bundle.tar";
/// The few lines of sh that fetch `anymetal-init`, 0755, dropped by cloud-init.
pub const FETCH: &str = "/etc/anymetal/fetch-init";
/// The unit that runs the first boot, dropped by cloud-init.
pub const UNIT: &str = "/etc/systemd/system/anymetal.service";
/// The first-boot binary once it is fetched and its digest is right.
pub const INIT: &str = "/opt/anymetal/bin/anymetal-init";
/// Components live below: `<OPT>/<component>/<version>/`, with `<OPT>/<component>/current` pointing at the one in use.
pub const OPT: &str = "/opt/anymetal";
/// What must outlive a reboot: ledger, content store, cursors of the reports. 0700.
pub const STATE: &str = "/var/lib/anymetal";
/// The ledger.
pub const LEDGER: &str = "/var/lib/anymetal/ledger.json";
/// What the node remembers of the releases it has run, JSON, 0600: the site, the highest serial, who may sign the next one.
pub const TRUST: &str = "/var/lib/anymetal/trust.json";
/// The last good metadata document, with which machine and platform it is of and since when it is known, JSON, 0600. Used while nobody
/// answers for a newer one.
pub const METADATA: &str = "/var/lib/anymetal/metadata.json";
/// The content store: one file per artefact, named by its sha256.
pub const STORE: &str = "/var/lib/anymetal/store/sha256";
/// How far each outward report has been accepted: one small file per sink.
pub const CURSORS: &str = "/var/lib/anymetal/report";
/// The events, one JSON document per line, appended before they are sent.
pub const EVENTS: &str = "/var/log/anymetal/events.jsonl";
/// What the guard has done, in the same form.
pub const GUARD_EVENTS: &str = "/var/log/anymetal-guard/guard.jsonl";
/// How far the guard's own reports have been accepted.
pub const GUARD_CURSORS: &str = "/var/lib/anymetal-guard/report";
/// Where this node stands, one JSON document, replaced whole.
pub const STATUS: &str = "/run/anymetal/status.json";
/// What the guard keeps watch by, JSON, 0600: the chain of proofs with its tokens. Written by the phase `prove`; its unit gives the guard, a user
/// of its own, a copy as a credential of [`GUARD_CREDENTIAL`]'s name.
pub const GUARD: &str = "/etc/anymetal/guard.json";
/// The name of that copy in the folder of the unit's credentials.
pub const GUARD_CREDENTIAL: &str = "guard.json";
/// Where the guard stands, one JSON document, replaced whole; gone when the guard is.
pub const GUARD_STATUS: &str = "/run/anymetal-guard/status.json";
/// What a guard that is restarted in order leaves to the next one.
pub const GUARD_HANDOVER: &str = "/run/anymetal-guard/handover.json";
/// While there is such a file, whatever is in it, the node does not announce.
pub const MAINTENANCE: &str = "/etc/anymetal/maintenance";
/// Made by `anymetal-init drain`, removed by `undrain`; outlives a reboot.
pub const DRAIN: &str = "/etc/anymetal/drain";
/// Where BIRD takes commands (Debian's unit).
pub const BIRD_SOCKET: &str = "/run/bird/bird.ctl";
/// Held while a `run` is under way, so that there is one at a time.
pub const LOCK: &str = "/run/anymetal/run.lock";

/// The port, of TCP and UDP, at which a node gives blobs to its siblings on the private network and speaks with them.
pub const SIBLINGS: u16 = 4655;

/// Kernel command line: where the metadata service is instead, a base URL; for tests, so that the plan under test is the production plan.
pub const ARG_METADATA: &str = "anymetal.metadata";
/// Kernel command line: a content-addressed origin that goes before the plan's own, a base URL.
pub const ARG_ORIGIN: &str = "anymetal.origin";
/// Kernel command line: a webhook that gets every event, besides the plan's own reports.
pub const ARG_REPORT: &str = "anymetal.report";

/// The path of a blob below any content-addressed origin or web root: `sha256/<hex>`.
pub fn blob(digest: &crate::Digest) -> String {
    format!("sha256/{digest}")
}
