//! The host's own loader functions redirected to ours, and what is done when the process ends.
