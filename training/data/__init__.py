"""Photos: splits of a folder, random views, composed scenes, downloads."""
