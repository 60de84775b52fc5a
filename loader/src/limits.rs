//! How much a file may ask for.

/// Bytes of the longest name that is read unless other limits are given, and of the longest that is written.
pub(crate) const MOST_NAME: usize = 64 << 10;

/// Bounds that hold while a file is read. A file beyond one of them is refused with [`LoadError::Limit`](crate::LoadError).
///
/// The bounds concern the structure of a model. Weights are bounded by the bytes that the files really have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Protobuf messages in all structure files together.
    pub max_messages: u64,
    /// Nodes in all graphs together.
    pub max_nodes: u64,
    /// Messages inside messages. Values above 96 act as 96.
    pub max_nesting: u32,
    /// Bytes of one name: of a node, operator, graph, tensor, attribute or file.
    pub max_name_len: usize,
    /// Dimensions of one tensor.
    pub max_rank: usize,
    /// Data files of one model.
    pub max_data_files: usize,
    /// Memory that decoded structure may take for any file, see [`Limits::decoded_budget`].
    pub decoded_base: u64,
    /// Memory that decoded structure may take for every byte of a larger file, see [`Limits::decoded_budget`].
    pub decoded_per_byte: u64,
    /// Memory that decoded structure may take at most, see [`Limits::decoded_budget`].
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_messages: 1 << 26,
            max_nodes: 1 << 22,
            max_nesting: 64,
            max_name_len: MOST_NAME,
            max_rank: 32,
            max_data_files: 1 << 16,
            decoded_base: 16 << 20,
            decoded_per_byte: 48,
            max_decoded_bytes: 4 << 30,
        }
    }
}

impl Limits {
    /// Memory, in bytes, that the decoded structure of `file_len` bytes may take, weights not counted.
    ///
    /// The larger of `decoded_base` + 4 bytes per byte and `decoded_per_byte` bytes per byte, at most `max_decoded_bytes`.
    /// Small files thus have a fixed allowance, and large ones grow with their size.
    pub fn decoded_budget(&self, file_len: u64) -> u64 {
        let small = self.decoded_base.saturating_add(file_len.saturating_mul(4));
        let large = file_len.saturating_mul(self.decoded_per_byte);
        small.max(large).min(self.max_decoded_bytes)
    }

    pub(crate) fn nesting(&self) -> u32 {
        self.max_nesting.min(96)
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn budget_grows_with_the_file_up_to_the_maximum() {
        let limits = Limits::default();
        assert_eq!(limits.decoded_budget(0), 16 << 20);
        assert_eq!(limits.decoded_budget(1 << 18), (16 << 20) + (1 << 20));
        assert_eq!(limits.decoded_budget(10 << 20), 480 << 20);
        assert_eq!(limits.decoded_budget(u64::MAX), 4 << 30);
    }
}
