from stir.terminal.silence import Silence, step


def test_after_five_seconds_without_output_a_command_says_what_it_does():
    silence = Silence("stir", began=0.0)
    assert silence.line(4.9) == ""
    with step("reading"), step("checking"):
        assert silence.line(5.0) == "stir: still checking, 5 s since the start"
    assert silence.line(9.9) == ""


def test_each_line_waits_twice_as_long_as_the_one_before_up_to_a_minute():
    silence, said = Silence("stir", began=0.0), []
    for second in range(400):
        if silence.line(second):
            said.append(second)
    assert said == [5, 15, 35, 75, 135, 195, 255, 315, 375]


def test_whatever_is_shown_begins_the_silence_anew():
    silence = Silence("stir", began=0.0)
    silence.heard(4.0)
    assert silence.line(8.9) == ""
    assert silence.line(9.0) == "stir: still working, 9 s since the start"


def test_a_step_that_shows_something_now_and_then_is_not_named_between_all_of_it():
    silence = Silence("stir", began=0.0)
    with step("running trials"):
        assert silence.line(5.0)
        silence.heard(6.0)
        assert not silence.line(15.9)
        assert silence.line(16.0)
        for second in range(20, 200):
            if second % 15 == 0:
                silence.heard(second)
            assert not silence.line(second)
    with step("collecting"):
        assert silence.line(201.0) == "stir: still collecting, 201 s since the start"
