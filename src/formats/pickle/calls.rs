//! What a pickle asks to have called, matched against the little that is known.

use std::sync::Arc;

use super::super::{DType, FormatError};
use super::globals::{Callable, callable, dtype_constant, storage_class};
use super::machine::Machine;
use super::memory::{Id, Node};
use super::{PickleValue, StorageKind, StorageRef, TensorRef};

/// How often a rebuild function may wrap another.
const MAX_NESTED_CALLS: usize = 4;

/// What a tensor counts for in the bound of copied parts: about its size over an id's.
const PARTS_OF_A_TENSOR: usize = 48;

impl Machine<'_> {
    /// REDUCE, NEWOBJ and NEWOBJ_EX: a callable and its arguments are on the stack.
    pub(super) fn call(&mut self, opcode: u8) -> Result<(), FormatError> {
        // NEWOBJ_EX has keyword arguments on top; only inert objects are written with it.
        let keywords = if opcode == 0x92 {
            Some(self.pop()?)
        } else {
            None
        };
        let arguments = self.pop()?;
        let function = self.pop()?;
        let Some(name) = self.global_name(function) else {
            return Err(self.refused("a value made by this pickle"));
        };
        let Some(Node::Tuple(items)) = self.memory.get(arguments) else {
            return Err(self.corrupt("arguments in a tuple", "another value"));
        };
        let mut items = items.clone();
        self.charge(items.len())?;
        items.extend(keywords);
        let result = self.apply(&name, items, 0)?;
        self.push_id(result);
        Ok(())
    }

    fn apply(
        &mut self,
        name: &Arc<str>,
        arguments: Vec<Id>,
        nesting: usize,
    ) -> Result<Id, FormatError> {
        let node = match callable(name) {
            Callable::Refused => return Err(self.refused(name)),
            Callable::Inert => Node::Opaque {
                name: name.clone(),
                arguments,
                state: None,
            },
            kind @ (Callable::Tensor | Callable::TensorOfType) => {
                self.charge(PARTS_OF_A_TENSOR)?;
                self.tensor(name, &arguments, kind == Callable::TensorOfType)?
            }
            Callable::FirstArgument => {
                let first = arguments.first().copied();
                return first.ok_or_else(|| self.bad_arguments(name));
            }
            Callable::Nested => return self.nested_call(name, &arguments, nesting),
            Callable::DefaultDict => Node::Dict(Vec::new()),
            Callable::Dict => Node::Dict(self.dict_entries(name, &arguments)?),
            Callable::List => Node::List(self.first_items(name, &arguments)?),
            Callable::Tuple => Node::Tuple(self.first_items(name, &arguments)?),
            Callable::Set => Node::Set(self.first_items(name, &arguments)?),
        };
        Ok(self.memory.add(node))
    }

    /// `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor with attributes.
    fn nested_call(
        &mut self,
        name: &str,
        arguments: &[Id],
        nesting: usize,
    ) -> Result<Id, FormatError> {
        let [function, _, inner, ..] = arguments else {
            return Err(self.bad_arguments(name));
        };
        let Some(function) = self.global_name(*function) else {
            return Err(self.refused("a value made by this pickle"));
        };
        if nesting >= MAX_NESTED_CALLS {
            return Err(self.refused(&function));
        }
        let Some(inner) = self.memory.items(*inner).map(<[Id]>::to_vec) else {
            return Err(self.bad_arguments(name));
        };
        self.charge(inner.len())?;
        self.apply(&function, inner, nesting + 1)
    }

    fn first_items(&mut self, name: &str, arguments: &[Id]) -> Result<Vec<Id>, FormatError> {
        let Some(first) = arguments.first() else {
            return Ok(Vec::new());
        };
        let items = self.memory.items(*first).map(<[Id]>::to_vec);
        let items = items.ok_or_else(|| self.bad_arguments(name))?;
        self.charge(items.len())?;
        Ok(items)
    }

    fn dict_entries(&mut self, name: &str, arguments: &[Id]) -> Result<Vec<(Id, Id)>, FormatError> {
        if let Some(first) = arguments.first()
            && let Some(Node::Dict(entries)) = self.memory.get(*first)
        {
            let entries = entries.clone();
            self.charge(entries.len())?;
            return Ok(entries);
        }
        self.first_items(name, arguments)?
            .into_iter()
            .map(|pair| match self.memory.items(pair) {
                Some([key, value]) => Ok((*key, *value)),
                _ => Err(self.bad_arguments(name)),
            })
            .collect()
    }

    fn bad_arguments(&self, name: &str) -> FormatError {
        self.corrupt(
            &format!("the arguments that PyTorch or Python gives {name}"),
            "others",
        )
    }

    /// `(storage, offset, size, stride, requires_grad, hooks[, dtype or metadata])`.
    fn tensor(&self, name: &str, arguments: &[Id], typed: bool) -> Result<Node, FormatError> {
        let bad = || self.bad_arguments(name);
        let [storage, offset, shape, stride, rest @ ..] = arguments else {
            return Err(bad());
        };
        let Some(PickleValue::Storage(storage)) = self.memory.leaf(*storage) else {
            return Err(bad());
        };
        let dtype = if typed {
            let constant = rest.get(2).and_then(|id| self.global_name(*id));
            let constant = constant.ok_or_else(bad)?;
            constant.strip_prefix("torch.").and_then(dtype_constant)
        } else {
            match storage.kind {
                StorageKind::Typed(dtype) => Some(dtype),
                StorageKind::Untyped | StorageKind::Other(_) => None,
            }
        };
        let tensor = TensorRef {
            storage: StorageRef::clone(storage),
            dtype,
            offset: self.natural(*offset).ok_or_else(bad)?,
            shape: self.naturals(*shape).ok_or_else(bad)?,
            stride: self.naturals(*stride).ok_or_else(bad)?,
        };
        if tensor.shape.len() > self.dimensions_limit() || tensor.shape.len() != tensor.stride.len()
        {
            return Err(self.corrupt(
                &format!(
                    "at most {} dimensions, and a stride for each",
                    self.dimensions_limit()
                ),
                &format!(
                    "{} dimensions and {} strides",
                    tensor.shape.len(),
                    tensor.stride.len()
                ),
            ));
        }
        Ok(Node::Leaf(PickleValue::Tensor(Arc::new(tensor))))
    }

    fn natural(&self, id: Id) -> Option<usize> {
        let number = self.memory.leaf(id)?.as_int()?;
        usize::try_from(number).ok()
    }

    fn naturals(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.memory.items(id)?;
        // More than the limit is refused by the caller; no need to collect it all.
        let bounded = items.iter().take(self.dimensions_limit() + 1);
        bounded.map(|item| self.natural(*item)).collect()
    }

    /// BUILD: gives the object below the top its state. Tensors and containers have none
    /// that matters here (attributes such as `_metadata` of a state dictionary).
    pub(super) fn set_state(&mut self) -> Result<(), FormatError> {
        let given = self.pop()?;
        let target = self.top()?;
        if let Some(name) = self.global_name(target) {
            return Err(self.refused(&name));
        }
        match self.memory.get_mut(target) {
            Some(Node::Opaque { state, .. }) => *state = Some(given),
            Some(Node::Dict(_) | Node::List(_) | Node::Set(_)) => {}
            Some(Node::Leaf(PickleValue::Tensor(_))) => {}
            _ => return Err(self.corrupt("an object that takes a state", "another value")),
        }
        Ok(())
    }

    /// BINPERSID: `('storage', class, key, location, count)`.
    pub(super) fn persistent_id(&mut self) -> Result<(), FormatError> {
        let id = self.pop()?;
        let storage = self
            .storage(id)
            .ok_or_else(|| self.corrupt("a storage of PyTorch", "another persistent id"))?;
        self.push(Node::Leaf(PickleValue::Storage(Arc::new(storage))));
        Ok(())
    }

    fn storage(&self, id: Id) -> Option<StorageRef> {
        let [tag, class, key, _location, count] = self.memory.items(id)? else {
            return None;
        };
        if self.memory.leaf(*tag)?.as_str() != Some("storage") {
            return None;
        }
        let class = self.global_name(*class)?;
        let short = class
            .strip_prefix("torch.storage.")
            .or_else(|| class.strip_prefix("torch."))
            .unwrap_or("");
        let kind = match (short, storage_class(short)) {
            (_, Some(dtype)) => StorageKind::Typed(dtype),
            ("UntypedStorage" | "_UntypedStorage", _) => StorageKind::Untyped,
            _ => StorageKind::Other(class.clone()),
        };
        let PickleValue::Str(key) = self.memory.leaf(*key)? else {
            return None;
        };
        Some(StorageRef {
            key: key.clone(),
            kind,
            count: self.natural(*count)?,
        })
    }
}

impl StorageRef {
    /// Bytes of the storage; `None` where the class is not read or the size overflows.
    pub(in super::super) fn byte_len(&self) -> Option<usize> {
        match &self.kind {
            StorageKind::Typed(dtype) => self.count.checked_mul(DType::size(*dtype)),
            StorageKind::Untyped => Some(self.count),
            StorageKind::Other(_) => None,
        }
    }
}
