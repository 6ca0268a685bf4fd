//! What `show protocols` and `show protocols all` say, of BIRD 2 and 3 (`proto_cmd_show`, `channel_show_stats` in nest/proto.c).
//! May not ask for it.

use anyhow::Context as _;

use super::reply::Reply;

/// The code of a row of the table.
const ROW: u16 = 1002;
/// The code of what `all` adds to a row.
const DETAIL: u16 = 1006;
/// The least width of the column "Since", in bytes; two blanks part it from "Info".
const SINCE: usize = 12;

/// One protocol of BIRD: a row of `show protocols`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    /// As BIRD writes it: `BGP`, `Static`, `Device`, …
    pub(crate) kind: String,
    /// Whether the state is "up". A BGP protocol is up when its session is established.
    pub(crate) up: bool,
    /// down, start, up, stop or flush.
    pub(crate) state: String,
    /// The protocol's own words, such as `Established` or `Active  Socket: Connection refused`; often none.
    pub(crate) info: String,
}

/// The rows of a reply to `show protocols`.
pub(crate) fn protocols(reply: &Reply) -> anyhow::Result<Vec<Protocol>> {
    reply.accepted()?;
    reply.texts(ROW).map(row).collect()
}

fn row(text: &str) -> anyhow::Result<Protocol> {
    let mut rest = text;
    let mut word = || {
        let (word, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        (!word.is_empty()).then(|| word.to_owned())
    };
    let (name, kind, _table, state) =
        (|| Some((word()?, word()?, word()?, word()?)))().with_context(|| format!("reading bird's row \"{text}\""))?;
    Ok(Protocol { name, kind, up: state == "up", state, info: info(rest.trim_start()).to_owned() })
}

/// What follows the time. The time may be of several words, in a format of the configuration's, so its column's width tells where it ends.
fn info(since_and_info: &str) -> &str {
    let bytes = since_and_info.as_bytes();
    let end = (SINCE..bytes.len()).find(|at| bytes[*at..].starts_with(b"  "));
    // A blank is never within a character, so this is never in the middle of one.
    end.and_then(|end| since_and_info.get(end..)).unwrap_or_default().trim()
}

/// Those of `names` that are BGP sessions and established, in the order of `names`.
pub(crate) fn established<'a>(protocols: &[Protocol], names: &[&'a str]) -> Vec<&'a str> {
    let is_established = |name: &str| {
        protocols.iter().any(|one| one.name == name && one.kind == "BGP" && one.info.starts_with("Established"))
    };
    names.iter().copied().filter(|name| is_established(name)).collect()
}

/// How many routes the one protocol of a reply to `show protocols all NAME` exports, over all its channels; none while it is down.
pub(crate) fn exported(reply: &Reply) -> anyhow::Result<Option<u64>> {
    reply.accepted()?;
    let lines = reply.texts(DETAIL).filter_map(|text| text.trim().strip_prefix("Routes:"));
    let mut sum: Option<u64> = None;
    for counts in lines {
        let count = counts.split(',').find_map(|part| part.trim().strip_suffix(" exported"));
        let count: u64 = count
            .with_context(|| format!("looking for exported routes in bird's \"Routes:{counts}\""))?
            .parse()
            .with_context(|| format!("reading the exported routes in bird's \"Routes:{counts}\""))?;
        sum = Some(sum.unwrap_or_default().saturating_add(count));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::super::reply::Reader;
    use super::*;

    fn reply(text: &str) -> Reply {
        let mut replies = Vec::new();
        Reader::default().feed(text.as_bytes(), &mut replies).unwrap();
        replies.remove(0)
    }

    #[test]
    fn a_row_is_read_whatever_the_widths_and_the_format_of_the_time() {
        for (line, name, state, info) in [
            ("edge_v4_1  BGP        ---        up     19:15:22.531  Established   ", "edge_v4_1", "up", "Established"),
            ("anycast4_drain Static     master4    down   19:15:21.676  ", "anycast4_drain", "down", ""),
            ("anycast4   Static     master4    flush  19:15:21.676", "anycast4", "flush", ""),
            (
                "e          BGP        ---        start  19:15:21.676  Active        Socket: Connection refused",
                "e",
                "start",
                "Active        Socket: Connection refused",
            ),
            ("e          BGP        ---        up     2026-11-24    Established   ", "e", "up", "Established"),
            ("e          BGP        ---        up     2026-11-24 19:16:47  Established   ", "e", "up", "Established"),
            ("e          BGP        ---        up     Tue 24. Nov 19:16  Established   ", "e", "up", "Established"),
            ("e          BGP        ---        up     Tue  4. Nov 19:16  Established   ", "e", "up", "Established"),
            (
                "a_name_that_is_wider_than_its_column BGP        a_table_that_is_too up     19:16         Established   ",
                "a_name_that_is_wider_than_its_column",
                "up",
                "Established",
            ),
        ] {
            let read = protocols(&reply(&format!("1002-{line}\n0000 \n"))).unwrap();
            assert_eq!(read.len(), 1, "{line}");
            let read = &read[0];
            assert_eq!((&*read.name, &*read.state, &*read.info, read.up), (name, state, info, state == "up"), "{line}");
        }
    }

    #[test]
    fn a_row_that_is_none_is_quoted() {
        let said = protocols(&reply("1002-anycast4 Static\n0000 \n")).unwrap_err().to_string();
        assert_eq!(said, "reading bird's row \"anycast4 Static\"");
    }

    #[test]
    fn only_bgp_can_be_established() {
        let rows = protocols(&reply(
            "1002-edge       BGP        ---        up     19:15:22.531  Established   \n \
             odd        Static     ---        up     19:15:22.531  Established   \n \
             far        BGP        ---        start  19:15:22.531  Active        \n0000 \n",
        ))
        .unwrap();
        assert_eq!(established(&rows, &["far", "odd", "edge", "none"]), ["edge"]);
    }

    #[test]
    fn exported_routes_are_counted_over_all_channels() {
        let of = |text: &str| exported(&reply(&format!("1006-{text}\n0000 \n")));
        assert_eq!(of("    Routes:         0 imported, 1 exported, 0 preferred").unwrap(), Some(1));
        let two =
            "    Routes:         0 imported, 7 filtered, 1 exported, 0 preferred\n     Routes: 2 imported, 3 exported";
        assert_eq!(of(two).unwrap(), Some(4));
        assert_eq!(of("    State:          DOWN").unwrap(), None);
        let said = of("    Routes: many").unwrap_err().to_string();
        assert_eq!(said, "looking for exported routes in bird's \"Routes: many\"");
    }
}
