"""The reviewer's guides and the annotated CRF, as PDF."""
