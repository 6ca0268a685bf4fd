//! Archives from the content store to `/opt/anymetal/<component>/<version>`.
