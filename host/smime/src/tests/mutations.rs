//! Damaged messages: changes of octets, and changes of the tree of ASN.1 elements, which keep the lengths right.

use super::forge::tlv;
use trust::asn1::{CONSTRUCTED, Reader};

/// Numbers that look random (xorshift64*): the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`, and 0 if that is 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % limit.max(1)
    }

    fn octet(&mut self) -> u8 {
        const TELLING: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 0x13, 0x24, 0x30, 0x31, 0x7F, 0x80, 0xA0, 0xA1, 0xFF];
        match self.below(3) {
            0 => TELLING[self.below(TELLING.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }
}

/// One to three changes of single octets.
pub(super) fn change_octets(octets: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = octets.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(changed.len());
        match random.below(6) {
            0 => changed.insert(at, random.octet()),
            1 if !changed.is_empty() => drop(changed.remove(at)),
            2 => {
                let end = (at + 1 + random.below(16)).min(changed.len());
                let part = changed[at..end].to_vec();
                let to = random.below(changed.len());
                changed.splice(to..to, part);
            }
            3 if !changed.is_empty() => changed[at] = random.octet(),
            _ if !changed.is_empty() => changed[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    changed
}

/// An element with its inner elements, if it is constructed and they can be read.
#[derive(Clone)]
struct Node {
    tag: u8,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Octets(Vec<u8>),
    Nodes(Vec<Node>),
}

fn nodes(octets: &[u8], depth: usize) -> Option<Vec<Node>> {
    let mut reader = Reader::ber(octets);
    let mut found = Vec::new();
    while !reader.is_empty() {
        let element = reader.any().ok()?;
        let inner = if element.tag & CONSTRUCTED != 0 && depth > 0 { nodes(element.content, depth - 1) } else { None };
        let content = inner.map_or_else(|| Content::Octets(element.content.to_vec()), Content::Nodes);
        found.push(Node { tag: element.tag, content });
    }
    Some(found)
}

fn write(nodes: &[Node], random: &mut Random, indefinite: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for node in nodes {
        let content = match &node.content {
            Content::Octets(octets) => octets.clone(),
            Content::Nodes(inner) => write(inner, random, indefinite),
        };
        if indefinite && node.tag & CONSTRUCTED != 0 && random.below(8) == 0 {
            out.extend([&[node.tag, 0x80], content.as_slice(), &[0, 0]].concat());
        } else {
            out.extend(tlv(node.tag, &content));
        }
    }
    out
}

/// Number of nodes, this level and below.
fn count(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| 1 + if let Content::Nodes(inner) = &node.content { count(inner) } else { 0 }).sum()
}

/// Calls `change` with the list that holds node number `at`, and its place there.
fn at(list: &mut Vec<Node>, mut at_node: usize, change: &mut dyn FnMut(&mut Vec<Node>, usize)) {
    for place in 0..list.len() {
        if at_node == 0 {
            return change(list, place);
        }
        at_node -= 1;
        if let Content::Nodes(inner) = &mut list[place].content {
            let below = count(inner);
            if at_node < below {
                return at(inner, at_node, change);
            }
            at_node -= below;
        }
    }
}

/// One to three changes of elements: another tag, another content, removed, doubled, replaced by another, swapped, or
/// split into chunks. Lengths stay right, and some become indefinite.
pub(super) fn change_elements(der: &[u8], random: &mut Random) -> Vec<u8> {
    let Some(mut tree) = nodes(der, 20) else { return change_octets(der, random) };
    for _ in 0..=random.below(3) {
        let total = count(&tree);
        let mut spare = None;
        at(&mut tree, random.below(total), &mut |list, place| spare = Some(list[place].clone()));
        let kind = random.below(9);
        let (octet, offset) = (random.octet(), random.below(4096));
        at(&mut tree, random.below(total), &mut |list, place| change_one(list, place, kind, (octet, offset), &spare));
    }
    let indefinite = random.below(4) == 0;
    write(&tree, random, indefinite)
}

fn change_one(list: &mut Vec<Node>, place: usize, kind: usize, (octet, offset): (u8, usize), spare: &Option<Node>) {
    match kind {
        0 => list[place].tag = octet,
        1 => drop(list.remove(place)),
        2 => list.insert(place, list[place].clone()),
        3 => list.extend(spare.clone()),
        4 => list.splice(place..=place, spare.clone()).for_each(drop),
        5 => {
            let other = offset % list.len();
            list.swap(place, other);
        }
        6 => split(&mut list[place], offset),
        _ => {
            if let Content::Octets(octets) = &mut list[place].content {
                match octets.len() {
                    0 => octets.push(octet),
                    length if kind == 7 => octets[offset % length] ^= octet.max(1),
                    length => octets.truncate(offset % length),
                }
            }
        }
    }
}

/// Makes a primitive string a constructed one with two chunks.
fn split(node: &mut Node, offset: usize) {
    if let (Content::Octets(octets), true) = (&node.content, node.tag & CONSTRUCTED == 0) {
        let (left, right) = octets.split_at(offset % (octets.len() + 1));
        let chunk = |octets: &[u8]| Node { tag: 4, content: Content::Octets(octets.to_vec()) };
        *node = Node { tag: node.tag | CONSTRUCTED, content: Content::Nodes(vec![chunk(left), chunk(right)]) };
    }
}
