from stir.terminal.silence import Silence, step


def test_after_five_seconds_without_output_a_command_says_what_it_does():
    silence = Silence("stir", began=0.0)
    assert silence.line(4.9) == ""
    with step("reading"), step("checking"):
        assert silence.line(5.0) == "stir: still checking, 5 s since the start"
    assert silence.line(10.0) == ""


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
    silence.heard(10.0)
    assert silence.line(15.0) == "stir: still working, 15 s since the start"
