"""The pages of an account: what its members see and change."""
