"""How cars and objects start, move and collide."""
