//! Why something failed: stable words, each with what it means and what to do about it.
//! A code is never renamed; a new failure gets a new code.

use std::fmt;

/// A reason code. Written in events, in `status.json` and on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The plan is missing, is not JSON, has unknown fields or a version this init cannot read.
    PlanUnreadable,
    /// The plan asks for something this init cannot do.
    PlanBeyondInit,
    /// What user-data pins, or the release, cannot be read, or one does not fit the other.
    ReleaseUnreadable,
    /// The release is older than one that this node has run, of another site, or missing where there was one.
    ReleaseStale,
    /// Somebody has to sign releases ([`crate::place::SIGNERS`], or an earlier release says so), and this one has no signature.
    ReleaseUnsigned,
    /// The release's signature is by nobody who may sign, or not over this release.
    ReleaseSignatureWrong,
    /// The list of who may sign releases cannot be read, or has something in it that is no key.
    SignersUnusable,
    /// The machine has no machine id.
    MachineIdMissing,
    /// The metadata service did not answer, or not with success, until the deadline; or there was no document of the machine's own.
    MetadataUnreachable,
    /// What the metadata service answered, or the machine's own document, cannot be read or contradicts itself.
    MetadataInvalid,
    /// The metadata never got the BGP neighbours the plan needs.
    MetadataNoBgp,
    /// The plan has no artefact of a component for this machine's architecture.
    NoArtefact,
    /// No origin gave the artefact.
    ArtefactUnreachable,
    /// An origin gave other bytes than the plan pins, and no other origin gave the right ones.
    ArtefactMismatch,
    /// The archive tries something an artefact must not: a path outside, a link out, a device, a bomb.
    ArchiveHostile,
    /// The archive is damaged, or the member the plan names is not in it.
    ArchiveBroken,
    /// The list of packages that the plan pins cannot be read, or is for another machine.
    PackagesUnsound,
    /// A program the plan expects on the host is not there, or is too old; or the host does not take a package.
    HostPackageMissing,
    /// Facts that templates need have no value.
    FactsMissing,
    /// A BGP session would be configured that can never come up.
    BgpUnsound,
    /// A template cannot be rendered.
    TemplateBroken,
    /// The program a file is for does not accept the file.
    FileRejected,
    /// The site's certificate or its key is not where the site says, or one does not belong to the other.
    CertificateUnusable,
    /// systemd could not start a unit, or the unit died.
    ServiceFailed,
    /// A service runs but did not become ready until the deadline.
    ServiceNotReady,
    /// The secrets the plan needs have not come, or not all of them.
    SecretsMissing,
    /// The secrets have come in a form that cannot be used, or belong to another site.
    SecretsInvalid,
    /// Consul or Nomad does not accept the site's management token.
    AccessRefused,
    /// Nomad refuses a job, or has no place for it.
    JobRefused,
    /// A job's deployment has failed.
    JobFailed,
    /// A job did not become healthy until the deadline.
    JobNotReady,
    /// A link of the chain of proofs did not hold until the deadline: the node does not serve, and is not announced.
    ProofFailed,
    /// A certificate that the node shows is about to expire, or has expired.
    CertificateExpires,
    /// A file system is full.
    DiskFull,
    /// The operating system refused something else.
    HostFault,
    /// Our own mistake.
    Internal,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 36] = [
        Self::PlanUnreadable,
        Self::PlanBeyondInit,
        Self::ReleaseUnreadable,
        Self::ReleaseStale,
        Self::ReleaseUnsigned,
        Self::ReleaseSignatureWrong,
        Self::SignersUnusable,
        Self::MachineIdMissing,
        Self::MetadataUnreachable,
        Self::MetadataInvalid,
        Self::MetadataNoBgp,
        Self::NoArtefact,
        Self::ArtefactUnreachable,
        Self::ArtefactMismatch,
        Self::ArchiveHostile,
        Self::ArchiveBroken,
        Self::PackagesUnsound,
        Self::HostPackageMissing,
        Self::FactsMissing,
        Self::BgpUnsound,
        Self::TemplateBroken,
        Self::FileRejected,
        Self::CertificateUnusable,
        Self::ServiceFailed,
        Self::ServiceNotReady,
        Self::SecretsMissing,
        Self::SecretsInvalid,
        Self::AccessRefused,
        Self::JobRefused,
        Self::JobFailed,
        Self::JobNotReady,
        Self::ProofFailed,
        Self::CertificateExpires,
        Self::DiskFull,
        Self::HostFault,
        Self::Internal,
    ];

    /// The stable word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PlanUnreadable => "plan-unreadable",
            Self::PlanBeyondInit => "plan-beyond-init",
            Self::ReleaseUnreadable => "release-unreadable",
            Self::ReleaseStale => "release-stale",
            Self::ReleaseUnsigned => "release-unsigned",
            Self::ReleaseSignatureWrong => "release-signature-wrong",
            Self::SignersUnusable => "signers-unusable",
            Self::MachineIdMissing => "machine-id-missing",
            Self::MetadataUnreachable => "metadata-unreachable",
            Self::MetadataInvalid => "metadata-invalid",
            Self::MetadataNoBgp => "metadata-no-bgp",
            Self::NoArtefact => "no-artefact",
            Self::ArtefactUnreachable => "artefact-unreachable",
            Self::ArtefactMismatch => "artefact-mismatch",
            Self::ArchiveHostile => "archive-hostile",
            Self::ArchiveBroken => "archive-broken",
            Self::PackagesUnsound => "packages-unsound",
            Self::HostPackageMissing => "host-package-missing",
            Self::FactsMissing => "facts-missing",
            Self::BgpUnsound => "bgp-unsound",
            Self::TemplateBroken => "template-broken",
            Self::FileRejected => "file-rejected",
            Self::CertificateUnusable => "certificate-unusable",
            Self::ServiceFailed => "service-failed",
            Self::ServiceNotReady => "service-not-ready",
            Self::SecretsMissing => "secrets-missing",
            Self::SecretsInvalid => "secrets-invalid",
            Self::AccessRefused => "access-refused",
            Self::JobRefused => "job-refused",
            Self::JobFailed => "job-failed",
            Self::JobNotReady => "job-not-ready",
            Self::ProofFailed => "proof-failed",
            Self::CertificateExpires => "certificate-expires",
            Self::DiskFull => "disk-full",
            Self::HostFault => "host-fault",
            Self::Internal => "internal",
        }
    }

    /// What to do about it, in one sentence.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::PlanUnreadable | Self::ReleaseUnreadable => {
                "rebuild the user-data with the `anymetal` that belongs to this init, and provision again"
            }
            Self::PlanBeyondInit => "build the user-data with the init it pins: `anymetal build` checks its abilities",
            Self::ReleaseStale => {
                "raise `serial` of the site and build again; if you mean to go back, run `anymetal-init run --allow-rollback` once"
            }
            Self::ReleaseUnsigned => "sign the release, as `anymetal build --sign` does, and provision again",
            Self::ReleaseSignatureWrong => {
                "do not trust this release before you know who changed it: build and sign it again with a key of the site's `signers`, and provision again"
            }
            Self::SignersUnusable => "put the site's `signers` there, one public key in a line, or provision again",
            Self::MachineIdMissing => "boot with systemd, or run `systemd-machine-id-setup`",
            Self::MetadataUnreachable => {
                "check that the machine's network and default route work (on Equinix Metal: a Layer 3 or hybrid mode), \
                 or that its own document is where the message says"
            }
            Self::MetadataInvalid => {
                "correct what is named, in the machine's own document or at the platform; a metadata service that answers nonsense \
                 is worth a report with this message"
            }
            Self::MetadataNoBgp => {
                "do at the platform, or in the machine's own document, what the message says, then run `systemctl restart anymetal`"
            }
            Self::NoArtefact => "add the architecture to the site's `architectures` and build again",
            Self::ArtefactUnreachable => "make one of the origins named above reachable from this machine",
            Self::ArtefactMismatch => {
                "put the right file at the origins named above, or pin the digest of the new one and build again"
            }
            Self::ArchiveHostile => "do not use this archive: compare its digest with the publisher's",
            Self::ArchiveBroken => {
                "compare the archive with the publisher's, and the member's name in the site with the archive's listing"
            }
            Self::PackagesUnsound => "lock the site's packages again with this `anymetal`, and build again",
            Self::HostPackageMissing => {
                "use an image that has the package, or add it to `packages` in the site's `cloud_config`"
            }
            Self::FactsMissing => "set what is missing in the site, or correct what the platform says of this machine",
            Self::BgpUnsound => {
                "correct what is named: under `bgp` in the site, at the platform, or in the machine's own document"
            }
            Self::TemplateBroken => "report this with the plan: the template does not fit its facts",
            Self::FileRejected => "read the program's own words above; the old file is still in place",
            Self::CertificateUnusable => {
                "put the chain and its key where the site's `tls` says, then run `systemctl restart anymetal`"
            }
            Self::ServiceFailed => "read the unit's last lines above, and `journalctl -u` of the unit",
            Self::ServiceNotReady => {
                "read what it waits for above, and `journalctl -u` of the unit; then run `systemctl restart anymetal`"
            }
            Self::SecretsMissing => {
                "bring the secrets by the way the site's `secrets.deliver` names, as `anymetal build` wrote them, and run `systemctl restart anymetal`"
            }
            Self::SecretsInvalid => "build the user-data and its secrets again from one site, and provision again",
            Self::AccessRefused => {
                "this node was set up with other secrets before: use those, or reset the ACL as the component's documentation says"
            }
            Self::JobRefused => {
                "read Nomad's own words above; `nomad job status` and `nomad node status` on the machine tell more"
            }
            Self::JobFailed => {
                "read the task's last lines above; after mending it run `systemctl restart anymetal`, which deploys it anew"
            }
            Self::JobNotReady => "read the task's last lines above; after mending it run `systemctl restart anymetal`",
            Self::ProofFailed => {
                "mend what the message names and run `systemctl restart anymetal`; until then the node stays withdrawn"
            }
            Self::CertificateExpires => "see why it is not renewed, in Traefik's log or where its files come from",
            Self::DiskFull => {
                "free space or use a larger disk; the boot goes on by itself after `systemctl restart anymetal`"
            }
            Self::HostFault => "read the cause above; after mending it run `systemctl restart anymetal`",
            Self::Internal => "this is a mistake of anymetal: please report it with `/var/log/anymetal/events.jsonl`",
        }
    }

    /// Whether trying again on the same machine brings the same: the cause is in the plan, in init or in what was given with them. All that a
    /// network, a platform, another program or a full disk causes may pass, and is tried again by the unit.
    pub const fn is_final(self) -> bool {
        match self {
            Self::PlanUnreadable
            | Self::PlanBeyondInit
            | Self::ReleaseUnreadable
            | Self::ReleaseStale
            | Self::ReleaseUnsigned
            | Self::ReleaseSignatureWrong
            | Self::SignersUnusable
            | Self::MachineIdMissing
            | Self::NoArtefact
            | Self::ArchiveHostile
            | Self::ArchiveBroken
            | Self::PackagesUnsound
            | Self::TemplateBroken
            | Self::FileRejected
            | Self::SecretsInvalid => true,
            Self::MetadataUnreachable
            | Self::MetadataInvalid
            | Self::MetadataNoBgp
            | Self::ArtefactUnreachable
            // A mirror is put right, or only some of the places have answered.
            | Self::ArtefactMismatch
            // apt, its lock and its mirrors.
            | Self::HostPackageMissing
            // Of what the platform says of the machine.
            | Self::FactsMissing
            | Self::BgpUnsound
            // Somebody may yet bring it.
            | Self::CertificateUnusable
            | Self::ServiceFailed
            | Self::ServiceNotReady
            | Self::SecretsMissing
            | Self::AccessRefused
            | Self::JobRefused
            | Self::JobFailed
            | Self::JobNotReady
            | Self::ProofFailed
            | Self::CertificateExpires
            | Self::DiskFull
            | Self::HostFault
            | Self::Internal => false,
        }
    }

    /// The reason of that code.
    pub fn coded(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::coded(reason.code()), Some(reason));
        }
        assert_eq!(Reason::coded("bad-luck"), None);
    }
}
