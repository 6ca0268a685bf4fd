//! The machine as QEMU and its kernel are told about it: arguments, and the kernel's command line.
//! May not start anything.

use std::path::Path;

use anymetal_contract::place;
use serde_json::json;

use super::disk::Image;
use super::lan::{self, PublicPort};

/// How user-data reaches the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// On a `NoCloud` seed volume.
    NoCloud,
    /// From the platform's EC2 tree, as Equinix Metal's own images take it.
    Ec2,
}

/// What runs the machine's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// Software.
    Tcg,
}

impl Accelerator {
    /// A `/dev/kvm` alone proves nothing: without `vmx` or `svm` in the processor's flags QEMU passes the BIOS and hangs at the kernel.
    pub fn choose(cpuinfo: &str, device_opens: bool) -> Self {
        let flags = cpuinfo.lines().filter(|line| line.starts_with("flags")).flat_map(str::split_whitespace);
        let able = flags.clone().any(|flag| flag == "vmx" || flag == "svm");
        if able && device_opens { Self::Kvm } else { Self::Tcg }
    }

    /// In words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "software emulation",
        }
    }
}

/// What the machine is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Kernel and initrd.
    pub image: &'a Image,
    /// The disk it may write to, qcow2.
    pub disk: &'a Path,
    /// A volume it may only read, when there is one: the `NoCloud` seed, or a medium.
    pub volume: Option<&'a Path>,
    /// How much memory it has, in MiB.
    pub memory_mib: u32,
    /// What its public port is connected to.
    pub public: &'a PublicPort,
    /// The port of loopback where the BGP neighbour listens.
    pub neighbour: u16,
    /// Where QEMU takes commands.
    pub control: &'a Path,
}

/// QEMU's arguments. The serial console is its stdout; nobody types.
pub fn arguments(parts: Parts<'_>, accelerator: Accelerator, command_line: &str) -> Vec<String> {
    let accelerator: &[&str] = match accelerator {
        Accelerator::Kvm => &["-accel", "kvm", "-cpu", "host"],
        Accelerator::Tcg => &["-accel", "tcg,thread=multi", "-cpu", "max"],
    };
    // A flush goes no further than the host's page cache (`unsafe`): it survives that QEMU is killed, which is the power cut we play.
    let disk = format!("file={},if=virtio,format=qcow2,cache=unsafe,discard=unmap", comma(parts.disk));
    let control = format!("unix:{},server=on,wait=off", comma(parts.control));
    let (kernel, initrd) = (parts.image.kernel.display().to_string(), parts.image.initrd.display().to_string());
    let memory = parts.memory_mib.to_string();
    let mut arguments: Vec<String> = accelerator.iter().map(|argument| (*argument).to_owned()).collect();
    let fixed = [
        ["-machine", "q35"],
        ["-smp", "2"],
        ["-m", &memory],
        ["-display", "none"],
        ["-serial", "file:/dev/stdout"], // `stdio` would read its stdin too
        ["-device", "virtio-rng-pci"],
        ["-qmp", &control],
        ["-drive", &disk],
        ["-kernel", &kernel],
        ["-initrd", &initrd],
        ["-append", command_line],
    ];
    arguments.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
    arguments.extend(fixed.into_iter().flatten().map(str::to_owned));
    if let Some(volume) = parts.volume {
        arguments.extend(["-drive".to_owned(), format!("file={},if=virtio,format=raw,readonly=on", comma(volume))]);
    }
    arguments.extend(lan::qemu_arguments(parts.public, parts.neighbour));
    arguments
}

/// A path within an option list of QEMU, where a comma is doubled.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// What wakes the agent in the image.
const ARG_LAB: &str = "anymetal.lab";

/// The longest command line an x86 kernel takes (`COMMAND_LINE_SIZE`, arch/x86/include/asm/setup.h), its final zero included.
const LONGEST_COMMAND_LINE: usize = 2048;

/// The kernel's command line. `platform` is where the platform answers, as the machine sees it; `lab` has the machine's agent ask there for
/// scripts to run.
pub fn command_line(platform: &str, delivery: Delivery, lab: bool) -> anyhow::Result<String> {
    // The installer writes the hostname into the image before the first boot; here it comes this way.
    let mut words = vec![
        "root=/dev/vda rw console=ttyS0 TERM=dumb".to_owned(),
        format!("systemd.hostname={}", lan::HOSTNAME),
        format!("{}={platform}", place::ARG_METADATA),
        format!("{}={platform}", place::ARG_ORIGIN),
        format!("{}={platform}/report", place::ARG_REPORT),
    ];
    if lab {
        words.push(format!("{ARG_LAB}={platform}{}", super::platform::LAB));
    }
    // What the installer's cloud.cfg says and cannot be in an image: addresses with this run's port, and the pinned source.
    let mut settings = json!({
        "phone_home": {"url": format!("{platform}/phone-home"), "post": ["instance_id"], "tries": 5},
    });
    if delivery == Delivery::Ec2 {
        settings["datasource_list"] = json!(["Ec2"]);
        settings["datasource"] = json!({"Ec2": {"metadata_urls": [platform], "timeout": 60, "max_wait": 120}});
        words.push("ci.ds=Ec2".to_owned());
    }
    words.push(format!("cc:{} end_cc", percent(&settings.to_string())));
    let line = words.join(" ");
    anyhow::ensure!(line.len() < LONGEST_COMMAND_LINE, "making the kernel's command line: it has {} bytes", line.len());
    Ok(line)
}

/// Percent-encoded (RFC 3986), as cloud-init reads `cc:`; without white space and quotes, which the kernel and systemd would split at.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut line, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            line.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            let _infallible = write!(line, "%{byte:02X}");
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_is_taken_only_when_processor_and_device_agree() {
        let able = "processor\t: 0\nflags\t\t: fpu vmx sse\n";
        let unable = "processor\t: 0\nmodel name\t: the vmx machine\nflags\t\t: fpu sse\n";
        assert_eq!(Accelerator::choose(able, true), Accelerator::Kvm);
        assert_eq!(Accelerator::choose(able, false), Accelerator::Tcg);
        assert_eq!(Accelerator::choose(unable, true), Accelerator::Tcg);
        assert_eq!(Accelerator::choose("", true), Accelerator::Tcg);
    }

    #[test]
    fn the_command_line_points_init_at_the_platform_and_pins_the_source() {
        let line = command_line("http://10.70.17.10:4711", Delivery::Ec2, true).unwrap();
        for word in [
            "anymetal.metadata=http://10.70.17.10:4711",
            "anymetal.origin=http://10.70.17.10:4711",
            "anymetal.report=http://10.70.17.10:4711/report",
            "anymetal.lab=http://10.70.17.10:4711/lab",
            "ci.ds=Ec2",
            "console=ttyS0",
            "end_cc",
        ] {
            assert!(line.split(' ').any(|other| other == word), "{word} is not in {line}");
        }
        let settings = line.split(' ').find(|word| word.starts_with("cc:")).unwrap();
        assert!(
            !settings.contains(['"', '{', ','])
                && settings.contains("metadata_urls%22:%5B%22http://10.70.17.10:4711%22%5D"),
            "{settings}"
        );
        let line = command_line("http://10.70.17.10:4711", Delivery::NoCloud, false).unwrap();
        assert!(!line.contains("Ec2") && !line.contains("anymetal.lab") && line.contains("phone_home"), "{line}");
    }

    #[test]
    fn the_machine_has_the_volume_the_memory_and_the_port_it_is_given() {
        let image = Image { disk: "d".into(), kernel: "k".into(), initrd: "i".into() };
        let closed = Parts {
            image: &image,
            disk: Path::new("a,b"),
            volume: None,
            memory_mib: 2048,
            public: &PublicPort::Closed,
            neighbour: 4711,
            control: Path::new("c"),
        };
        let line = arguments(closed, Accelerator::Tcg, "x").join(" ");
        assert!(line.contains("file=a,,b,if=virtio") && !line.contains("readonly"), "{line}");
        assert!(line.contains("guestfwd=tcp:10.70.17.12:179-cmd:bash") && line.contains("/127.0.0.1/4711 "), "{line}");
        assert!(line.contains("-m 2048") && line.contains("user,id=public,restrict=on"), "{line}");
        let tap = PublicPort::Tap(std::sync::Arc::new(std::io::pipe().unwrap().0.into()));
        let open = Parts { volume: Some(Path::new("s")), memory_mib: 3072, public: &tap, ..closed };
        let line = arguments(open, Accelerator::Kvm, "x").join(" ");
        assert!(line.contains("file=s,if=virtio,format=raw,readonly=on") && line.contains("-accel kvm"), "{line}");
        assert!(line.contains("-m 3072") && line.contains("-netdev tap,id=public,fd=0"), "{line}");
    }
}
