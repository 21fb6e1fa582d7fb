"""Model-free training on any Gymnasium world: the command of 2019 on a maintained engine.

`python -m baselines.run` is OpenAI baselines' command line of June 2019 (its flags, the algorithms'
own keys, its log files), with Stable-Baselines3 and sb3-contrib doing the work. The same files are
installed under the two names `baselines` and `dreamduck.rl`; everything imports the second,
so that a class exists once whichever name a program begins with. Importing this loads nothing."""
