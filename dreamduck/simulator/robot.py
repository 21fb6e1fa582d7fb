"""The robot: sizes, wheels, motors and camera of a Duckiebot DB18, each number once.

Sources: gym-duckietown 6.1 (`simulator.py`, `envs/duckietown_env.py`) for the body, the camera and the
wheels; duckietown_world's nominal DB18 (`world_duckietown/dynamics_models`) for the motors."""

from __future__ import annotations

# Body
ROBOT_WIDTH, ROBOT_LENGTH = 0.15, 0.18  # [m]
SAFETY_FACTOR = 1.8  # times half the length, the radius of the safety circle
ROBOT_SAFETY_RADIUS = ROBOT_LENGTH / 2 * SAFETY_FACTOR  # [m]

# Wheels and motors
WHEEL_RADIUS = 0.0318  # [m]
WHEEL_DISTANCE = 0.102  # [m] between the wheels
MOTOR_CONSTANT = 27.0  # [rad/s] of a wheel at a duty cycle of 1
DUTY_LIMIT = 1.0
DELAY = 0.15  # [s] from command to motor
LINEAR_DRAG = 5.0  # [1/s] v' = -drag v + gain (right + left)
LINEAR_GAIN = 1.5  # [m/s^2] at a duty cycle of 1
ANGULAR_DRAG = 4.0  # [1/s] w' = -drag w + gain (right - left)
ANGULAR_GAIN = 15.0  # [rad/s^2] at a duty cycle of 1

# Camera
CAMERA_FORWARD = 0.066  # [m] before the axle
CAMERA_HEIGHT = 0.108  # [m] above the ground
CAMERA_PITCH = 19.15  # [degrees] down
CAMERA_FOV = 75.0  # [degrees] vertical
CENTER_AHEAD = CAMERA_FORWARD - ROBOT_LENGTH / 2  # [m] of the middle of the body before the axle
