//! One file per kind of row: its key, its bytes, and the value the floors above see.
