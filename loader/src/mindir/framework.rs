//! MindSpore's bookkeeping.

/// A primitive that only says how values hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framework {
    Load,
    UpdateState,
    Depend,
    MakeTuple,
    MakeList,
    GetItem,
    GetListItem,
    Partial,
    Switch,
    SwitchLayer,
    Return,
}

use Framework::{
    Depend, GetItem, GetListItem, Load, MakeList, MakeTuple, Partial, Return, Switch, SwitchLayer, UpdateState,
};

/// The names that files have, first the one that is written.
const NAMES: [(Framework, &[&str]); 11] = [
    (Load, &["Load"]),
    (UpdateState, &["UpdateState"]),
    (Depend, &["Depend"]),
    (MakeTuple, &["MakeTuple", "make_tuple", "RealMakeTuple"]),
    (MakeList, &["make_list", "MakeList", "RealMakeList"]),
    (GetItem, &["TupleGetItem", "tuple_getitem", "RealTupleGetItem"]),
    (GetListItem, &["list_getitem", "ListGetItem", "RealListGetItem"]),
    (Partial, &["Partial", "partial"]),
    (Switch, &["Switch", "switch"]),
    (SwitchLayer, &["switch_layer", "SwitchLayer"]),
    (Return, &["return", "Return"]),
];

impl Framework {
    /// The primitive of this name.
    pub(super) fn of(name: &str) -> Option<Framework> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(framework, _)| *framework)
    }

    /// The name that is written.
    pub(super) fn name(self) -> &'static str {
        let names = NAMES.iter().find(|(framework, _)| *framework == self).map(|(_, names)| *names);
        names.and_then(|names| names.first()).unwrap_or(&"")
    }
}
