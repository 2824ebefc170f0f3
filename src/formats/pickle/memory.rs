//! The values of a pickle while it is read. They can be shared, changed after they were
//! shared, and contain themselves, so they live in an arena and point by number; at the end
//! they are frozen into a [`PickleValue`].

use std::sync::Arc;

use super::{Opaque, PickleValue};

/// A place in the arena.
pub(super) type Id = u32;

/// A value that may still change.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Anything without parts that could change.
    Leaf(PickleValue),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Opaque {
        name: Arc<str>,
        arguments: Vec<Id>,
        state: Option<Id>,
    },
}

/// What the freezing stopped at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FreezeError {
    /// Containers nested deeper than allowed.
    Depth(usize),
    /// A container inside itself.
    Cycle,
}

/// State of a node while freezing.
#[derive(Clone)]
enum Frozen {
    Not,
    /// On the path from the root to here.
    Open,
    /// With the nesting below it.
    Done(PickleValue, usize),
}

/// All values of one pickle.
#[derive(Default)]
pub(super) struct Memory {
    nodes: Vec<Node>,
}

impl Memory {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The caller bounds the number of nodes, far below 2^32.
    pub(super) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    pub(super) fn get(&self, id: Id) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Node> {
        self.nodes.get_mut(id as usize)
    }

    /// The value without changing parts, if it has none.
    pub(super) fn leaf(&self, id: Id) -> Option<&PickleValue> {
        match self.get(id) {
            Some(Node::Leaf(value)) => Some(value),
            _ => None,
        }
    }

    /// The items of a list, tuple or set.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Some(Node::List(items) | Node::Tuple(items) | Node::Set(items)) => Some(items),
            _ => None,
        }
    }

    /// The value at `root`, with everything below it.
    pub(super) fn freeze(&self, root: Id, max_depth: usize) -> Result<PickleValue, FreezeError> {
        let mut freezer = Freezer {
            memory: self,
            done: vec![Frozen::Not; self.nodes.len()],
            max_depth,
        };
        freezer.freeze(root, 0).map(|(value, _)| value)
    }
}

struct Freezer<'a> {
    memory: &'a Memory,
    done: Vec<Frozen>,
    max_depth: usize,
}

impl Freezer<'_> {
    /// The value and its height. A shared value is frozen once; its height is kept, so that
    /// sharing cannot build something deeper than the bound.
    fn freeze(&mut self, id: Id, depth: usize) -> Result<(PickleValue, usize), FreezeError> {
        match self.done.get(id as usize) {
            Some(Frozen::Done(value, height)) if depth + height <= self.max_depth => {
                return Ok((value.clone(), *height));
            }
            Some(Frozen::Open) => return Err(FreezeError::Cycle),
            Some(Frozen::Not) if depth <= self.max_depth => {}
            _ => return Err(FreezeError::Depth(self.max_depth)),
        }
        self.set(id, Frozen::Open);
        let (value, height) = self.freeze_parts(id, depth)?;
        self.set(id, Frozen::Done(value.clone(), height));
        Ok((value, height))
    }

    fn set(&mut self, id: Id, state: Frozen) {
        if let Some(slot) = self.done.get_mut(id as usize) {
            *slot = state;
        }
    }

    fn freeze_parts(&mut self, id: Id, depth: usize) -> Result<(PickleValue, usize), FreezeError> {
        let memory = self.memory;
        let mut height = 0;
        let value = match memory.get(id) {
            None => PickleValue::None,
            Some(Node::Leaf(value)) => value.clone(),
            Some(Node::List(items)) => {
                PickleValue::List(self.freeze_all(items, depth, &mut height)?.into())
            }
            Some(Node::Tuple(items)) => {
                PickleValue::Tuple(self.freeze_all(items, depth, &mut height)?.into())
            }
            Some(Node::Set(items)) => {
                PickleValue::Set(self.freeze_all(items, depth, &mut height)?.into())
            }
            Some(Node::Dict(entries)) => {
                let mut frozen = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.freeze_part(*key, depth, &mut height)?;
                    frozen.push((key, self.freeze_part(*value, depth, &mut height)?));
                }
                PickleValue::Dict(frozen.into())
            }
            Some(Node::Opaque {
                name,
                arguments,
                state,
            }) => {
                let arguments = self.freeze_all(arguments, depth, &mut height)?;
                let state = match state {
                    Some(state) => Some(self.freeze_part(*state, depth, &mut height)?),
                    None => None,
                };
                PickleValue::Opaque(Arc::new(Opaque {
                    name: name.clone(),
                    arguments,
                    state,
                }))
            }
        };
        Ok((value, height))
    }

    fn freeze_part(
        &mut self,
        id: Id,
        depth: usize,
        height: &mut usize,
    ) -> Result<PickleValue, FreezeError> {
        let (value, below) = self.freeze(id, depth + 1)?;
        *height = (*height).max(below + 1);
        Ok(value)
    }

    fn freeze_all(
        &mut self,
        ids: &[Id],
        depth: usize,
        height: &mut usize,
    ) -> Result<Vec<PickleValue>, FreezeError> {
        let mut values = Vec::with_capacity(ids.len());
        for id in ids {
            values.push(self.freeze_part(*id, depth, height)?);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_inside_itself_is_a_cycle() {
        let mut memory = Memory::default();
        let list = memory.add(Node::List(Vec::new()));
        if let Some(Node::List(items)) = memory.get_mut(list) {
            items.push(list);
        }
        assert_eq!(memory.freeze(list, 10).err(), Some(FreezeError::Cycle));
    }

    #[test]
    fn sharing_cannot_exceed_the_depth() {
        // A chain of 7 is shared at the end of another chain of 7: 14 in all.
        let mut memory = Memory::default();
        let chain = |memory: &mut Memory, mut end: Id| {
            for _ in 0..7 {
                end = memory.add(Node::List(vec![end]));
            }
            end
        };
        let leaf = memory.add(Node::Leaf(PickleValue::None));
        let first = chain(&mut memory, leaf);
        let second = chain(&mut memory, first);
        let root = memory.add(Node::List(vec![first, second]));
        assert_eq!(memory.freeze(root, 14).err(), Some(FreezeError::Depth(14)));
        assert!(memory.freeze(root, 15).is_ok());
    }
}
