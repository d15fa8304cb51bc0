"""What people say is right: corrected photos, and unsure ones for review, kept where the operator switched that on."""
