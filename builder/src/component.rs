//! What a component is, as data: `templates/<component>/`.
