"""The Runner: answers under the prompt that the state serves."""
