"""What `make test` leaves to `make test-all` because it takes long, what of it CI leaves too, and what each guards."""

import pytest

SLOW = {
    "tests/docs/test_commands.py::test_a_command_of_the_documentation": "the commands of README and docs/, training among them",
    "tests/model/test_shipped_networks.py::test_the_claimed_accuracy_is_measured_again": "the accuracy of the model card, photo by photo",
    "tests/model/test_twin.py::test_the_claimed_agreement": "the agreement of the twin in integers, photo by photo",
    "tests/security/test_openapi.py::test_every_answer": "every answer fits the OpenAPI document, with or without sense in the request",
    "tests/security/test_openapi.py::test_what_the_document_says": "an API key is asked for wherever the document says so",
    "tests/test_examples.py::test_feature_maps": "examples/feature_maps.py draws what the service answers",
    "tests/training/importing/test_brought.py::test_it_answers": "networks with every layer that is brought answer as the original",
    "tests/training/test_end_to_end.py": "train, evaluate, export and serve fit together",
    "tests/training/test_kept.py": "the network after each epoch is kept, resumed and exported",
    "tests/training/test_rebuild.py": "Keras gets the network that the service taught",
    "tests/training/test_resume.py": "a run that is killed and resumed gives the network of one that was not",
    "tests/training/test_small_sets.py::test_a_finished": "a finished network is replaced only when asked for",
    "tests/training/test_small_sets.py::test_a_network_that_learned_nothing": "a network that may be guessing is said to be so",
    "tests/training/test_small_sets.py::test_resuming_a_finished": "resuming a finished run says that it is finished",
    "tests/training/test_small_sets.py::test_the_history": "the history holds the settings that fit the number of photos",
    "tests/training/test_train.py::test_another_seed": "the seed matters",
    "tests/training/test_train.py::test_the_same_seed": "training can be repeated bit for bit",
    "tests/training/test_train.py::test_training_lowers": "training learns",
    "tests/training/transfer/test_transfer.py": "a network of other classes starts from the shipped convolutions, and is served",
}
"""The beginning of a test's id, and what it guards."""

_COMMAND = "tests/docs/test_commands.py::test_a_command_of_the_documentation_works"

LONG = {
    "tests/app/commands/learning/test_learn.py::test_a_dry_run": "a dry run of learning writes nothing",
    "tests/app/commands/learning/test_learn.py::test_learning_again": "learning twice from the same corrections changes nothing",
    "tests/app/commands/learning/test_learn.py::test_corrections_that": "what the network knows already is not learned",
    "tests/app/routes/test_teach.py::test_a_fifth": "four jobs may be unfinished, and no fifth",
    "tests/browser/test_corrections_page.py::test_axe_finds_no_violation_and_a_photo_fits_with_its_classes_on_the_screen[dark": "the same of corrections",
    "tests/browser/test_teach.py::test_axe_finds_no_violation_and_nothing_sticks_out[dark": "the same of Teach",
    "tests/browser/test_beside.py::test_axe_finds_no_violation_and_nothing_sticks_out[dark": "contrast in the dark; others test the page's",
    "tests/browser/test_learned.py::test_axe_finds_no_violation_and_nothing_sticks_out[dark": "the same of the timeline",
    "tests/browser/test_learned.py::test_axe_finds_no_violation_and_nothing_sticks_out[phone": "the timeline on a phone",
    "tests/browser/test_lesson_toy.py::test_axe_finds_no_violation_in_any_step[dark]": "contrast in the dark; on a phone it stays",
    "tests/browser/test_lesson_toy.py::test_axe_finds_no_violation_in_any_step[phone]": "the lesson on a phone; in the dark it stays",
    "tests/browser/test_measured.py::test_the_pictures": "the README's pictures are taken from the page",
    "tests/browser/test_measured.py::test_the_page_is": "the page's benchmark runs and measures",
    f"{_COMMAND}[benchmarks": "benchmarks of the documentation run; tests/benchmarks tests what they are made of",
    f"{_COMMAND}[training": "the training commands of the documentation; test_end_to_end.py and test_transfer.py run what they do",
    f"{_COMMAND}[app teach": "teaching on the command line; tests/app/commands/test_teach.py teaches, too",
    f"{_COMMAND}[pytest": "pytest runs on a file of its own",
    "tests/training/test_kept.py::test_a_run_that_keeps_nothing": "keeping epochs changes nothing of what is learned",
    "tests/training/test_kept.py::test_training_anew": "epochs of a network that was there before are deleted",
    "tests/training/test_train.py::test_another_seed": "the seed decides",
    f"{_COMMAND}[make references": "what others could have used instead; tests/training/studies tests it",
    "tests/docs/test_commands.py::test_the_course_sets": "the course's set can be trained on and reported",
    "tests/docs/test_commands.py::test_what_training_wrote": "what the commands of docs/training.md train is served",
    "tests/training/fitting/test_devices.py::test_two_devices": "training on several devices comes to what one learns",
    "tests/training/fitting/test_devices.py::test_its_validation": "validation on several devices counts every photo once",
    "tests/training/networks/test_pretrained.py::test_the_original": "the pretrained weights were taken over whole: they recognise ImageNet's objects",
    "tests/test_clients.py": "clients that people have already, installed for it, are answered",
    "tests/deploy/ray": "Ray, which is installed for it, serves and classifies",
    "tests/deploy/test_pythons.py": "other Pythons, of which each gets an environment of its own, serve",
    "tests/training/test_refine_whole.py": "version 2.0.0's recipe runs from photos to network, and its features are resumed",
    "tests/benchmarks/test_clients.py::test_the_benchmark_of_memory": "the benchmark of memory runs and measures",
    "tests/training/test_export_int8.py::test_a_network_that_was_taught": "a network that was taught gets a twin in integers",
    "tests/training/test_stopped.py::test_a_run_that_was_stopped": "after Ctrl-C the last line is the command that continues",
    "tests/training/test_train.py::test_other_classes": "other classes than cats are trained, exported and answered",
    "tests/app/routes/test_teach.py::test_two_jobs": "of two jobs one waits; test_teaching.py teaches beside a service, too",
    "tests/browser/test_surgery.py::test_axe_finds_no_violation_in_a_changed_network[dark": "the same of a changed network",
    "tests/browser/test_surgery.py::test_axe_finds_no_violation_in_a_changed_network[phone": "a changed network on a phone",
    "tests/browser/test_page_as_a_whole.py::test_axe_finds_no_violation[walked-dark": "contrast of the walk in the dark",
    "tests/browser/test_beside.py::test_axe_finds_no_violation_and_nothing_sticks_out[light-1200": "the phone's width stays",
    "tests/faults/test_teaching.py::test_a_service_teaches_while_it_answers_and_every_process_serves_the_network[1": "one process teaches as two do",
    "tests/model/test_shipped_networks.py::test_the_claimed_accuracy_is_measured_again_on_the_photos[val-breeds-cat": "accuracy on a second set",
}
"""What takes minutes more: `make test-all` runs it, CI does not. Run that after changing what it guards."""


def mark(items: list[pytest.Item]) -> None:
    for item in items:
        for start, guards in (SLOW | LONG).items():
            if item.nodeid.startswith(start):
                item.add_marker(pytest.mark.slow(reason=guards))
                if start in LONG:
                    item.add_marker(pytest.mark.long)
