pub const CANDIDATES: &[super::Candidate] = &[];
