"""Takes in room impulse responses of others, WAV or SOFA, as a catalogue in AmbiX."""
