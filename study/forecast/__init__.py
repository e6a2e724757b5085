"""What JEPA and MAE will learn of given pairs, from second moments alone: before anything is trained."""
