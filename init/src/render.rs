//! A template and facts to text.
