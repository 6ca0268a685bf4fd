//! The kernel's own word on a table of nftables, by netlink (Linux's `nf_tables.h`, `nfnetlink.h`): microseconds, where `nft` takes a process.
//! May not change it, but by the program the operating system has for that.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN, NFT_MSG_GETTABLE};
use nix::sys::socket::SockProtocol;

use super::netlink::{Kernel, Request, attribute};
use super::process;

/// Rules for both families (`NFPROTO_INET`).
const INET: u8 = 1;
/// Attributes of a table (`NFTA_TABLE_…`): its name, its flags, and what whoever made it has put with it; of nft that is a list of pieces, each a
/// kind, a length and bytes.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_USERDATA: u16 = 6;
/// Attributes of a chain (`NFTA_CHAIN_…`): its table, its name, and how many rules it has.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_USE: u16 = 6;
/// The kind of the piece that is the comment (libnftnl's `NFTNL_UDATA_TABLE_COMMENT`).
const COMMENT: u8 = 0;
/// The flag of a table whose rules are not looked at (`NFT_TABLE_F_DORMANT`).
const DORMANT: u32 = 1;
/// How long `nft` may take over a file: it takes some ten milliseconds.
const LOADS: Duration = Duration::from_secs(10);
const PROGRAM: &str = "nft";

/// A table that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its comment.
    pub(crate) comment: String,
    /// It is there, and its rules are not looked at.
    pub(crate) dormant: bool,
    /// How many rules each of the chains has that were asked for, with those that lead to it; nothing of one that is not there.
    pub(crate) uses: Vec<Option<u32>>,
}

/// Looks at a table of both families and some of its chains. Returns nothing when there is no such table. Wants `CAP_NET_ADMIN`.
pub(crate) fn table<'a>(name: &str, chains: impl IntoIterator<Item = &'a String>) -> anyhow::Result<Option<Table>> {
    let doing = || format!("asking the kernel for the table inet {name}");
    let mut kernel = Kernel::to(SockProtocol::NetlinkNetFilter).with_context(doing)?;
    let request = question(NFT_MSG_GETTABLE).attribute(TABLE_NAME, &text(name));
    let Some(table) = there(kernel.answer(request)).with_context(doing)? else { return Ok(None) };
    let mut uses = Vec::new();
    for chain in chains {
        let request = question(NFT_MSG_GETCHAIN).attribute(CHAIN_TABLE, &text(name));
        let request = request.attribute(CHAIN_NAME, &text(chain));
        let found = there(kernel.answer(request)).with_context(doing)?;
        uses.push(found.map(|chain| value(&chain, CHAIN_USE).unwrap_or(0)));
    }
    Ok(Some(Table {
        comment: attribute(after(&table), TABLE_USERDATA).and_then(comment).unwrap_or_default(),
        dormant: value(&table, TABLE_FLAGS).unwrap_or(0) & DORMANT != 0,
        uses,
    }))
}

/// Puts a file of rules in force, whole or not at all.
pub(crate) fn load(file: &Path) -> anyhow::Result<()> {
    let said = process::run(PROGRAM, &["--file".as_ref(), file.as_os_str()], LOADS)?;
    ensure!(said.success, "{PROGRAM} does not take {}: {}", file.display(), said.last_lines(3).join(", "));
    Ok(())
}

fn question(message: i32) -> Request {
    let kind = number(NFNL_SUBSYS_NFTABLES) << 8 | number(message);
    // `struct nfgenmsg`: family, version, resource.
    Request::question(kind, &[INET, 0, 0, 0])
}

fn number(constant: i32) -> u16 {
    u16::try_from(constant).expect("kinds of messages and attributes have 16 bits")
}

fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn there(answer: anyhow::Result<Vec<u8>>) -> anyhow::Result<Option<Vec<u8>>> {
    match answer {
        Err(error) if error.downcast_ref() == Some(&Errno::ENOENT) => Ok(None),
        answer => answer.map(Some),
    }
}

/// The attributes, after `struct nfgenmsg`.
fn after(message: &[u8]) -> &[u8] {
    message.get(4..).unwrap_or_default()
}

/// A number, which nftables has in the network's order.
fn value(message: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(*attribute(after(message), kind)?.first_chunk()?))
}

fn comment(mut pieces: &[u8]) -> Option<String> {
    loop {
        let [kind, length, rest @ ..] = pieces else { return None };
        let (piece, others) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return Some(String::from_utf8_lossy(piece).trim_end_matches('\0').to_owned());
        }
        pieces = others;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use anymetal_lab::namespace::Namespace;

    use super::*;

    #[test]
    fn a_table_is_seen_as_nft_has_made_it() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: a network namespace needs root");
            return;
        }
        let namespace = Namespace::new(format!("amnft-{}", std::process::id())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules");
        let chains = ["input", "output", "own", "none"].map(str::to_owned);
        let seen = || namespace.inside(|| table("anymetal", &chains)).unwrap();
        assert_eq!(seen(), None, "there is no table yet");
        let rules = "table inet anymetal {\n  comment \"generation 12ab\"\n  chain input {\n    type filter hook input priority filter; policy drop;\n    \
             iif lo accept\n    tcp dport 80 accept\n  }\n  chain output {\n type filter hook output priority filter;\n jump own\n }\n  chain own {\n    counter reject\n  }\n}\n";
        std::fs::write(&file, rules).unwrap();
        namespace.inside(|| load(&file)).unwrap();
        let table =
            Table { comment: "generation 12ab".into(), dormant: false, uses: vec![Some(2), Some(1), Some(2), None] };
        assert_eq!(seen(), Some(table.clone()));
        let nft = |words: &str| assert!(namespace.command("nft").args(words.split(' ')).status().unwrap().success());
        nft("flush chain inet anymetal input");
        assert_eq!(seen(), Some(Table { uses: vec![Some(0), Some(1), Some(2), None], ..table.clone() }));
        nft("flush chain inet anymetal own");
        assert_eq!(seen(), Some(Table { uses: vec![Some(0), Some(1), Some(1), None], ..table }));
        nft("flush ruleset");
        assert_eq!(seen(), None);
        std::fs::write(&file, "table inet anymetal { nonsense }\n").unwrap();
        let error = namespace.inside(|| load(&file)).unwrap_err();
        assert!(format!("{error:#}").starts_with("nft does not take "), "{error:#}");
    }
}
