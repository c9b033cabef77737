//! The contract of the command line, line by line, and which test keeps it.
//!
//! | Promise | Kept by |
//! |---|---|
//! | every command exists and has help | `contract/commands::every_command_of_the_contract_has_help` |
//! | every option of `plan`, `apply` and `validate` | `contract/commands::every_option_of_the_contract_is_told_by_help` |
//! | `plan --out`, `apply PLANFILE` | `reviewing::a_saved_plan_is_applied_as_reviewed_whatever_happens_to_others` |
//! | `plan --detailed-exitcode` | `contract/commands::each_exit_code_means_what_it_promises` |
//! | `plan --recreate` | `lifecycle::a_recreated_task_writes_to_nobody_a_second_time` |
//! | `plan --stop-first` | `lifecycle::a_task_in_progress_is_not_deleted_with_its_manifest` |
//! | `plan --target`, `--json-into`, `--summary` | `contract/commands::a_plan_goes_where_its_options_say` |
//! | `plan --max-delete`, `--allow-shrink` | `reviewing::too_much_at_once_is_rejected_until_it_is_allowed` |
//! | `plan --output …` | `contract/streams::every_form_of_a_plan_tells_what_is_rejected` |
//! | `plan --lock-timeout` | `lifecycle::a_second_writer_waits_and_then_says_who_holds_the_lock` |
//! | `apply --auto-approve` | `lifecycle::nobody_is_asked_where_nobody_can_answer` |
//! | `apply --constrain` | `reviewing::a_constrained_apply_may_do_less_and_starts_from_anywhere` |
//! | `apply --keep-going` | `reviewing::what_is_allowed_goes_on_when_it_shall_keep_going` |
//! | `apply --require-unchanged` | `reviewing::what_is_not_what_was_reviewed_is_not_applied` |
//! | `apply --message` | `pipelines/github::what_was_reviewed_is_applied_after_the_merge_and_nothing_else` |
//! | `apply --wait --timeout` | `contract/commands::an_apply_waits_no_longer_than_it_shall` |
//! | `validate [PATH or -]`, without a database | `contract/commands::validate_needs_no_database` |
//! | `validate --online` | `outputs::online_asks_the_providers_and_sends_nothing` |
//! | `validate --output …` | `outputs::validate_tells_its_findings_in_every_form` |
//! | `--tasks`, `--database`, their variables, `--quiet`, `--log-format` | `contract/commands::options_that_are_everywhere_win_over_the_environment` |
//! | `NUNCIO_DATA` | `bad_input::the_private_server_is_shared_and_leaves_with_its_last_user` |
//! | no secret is ever an argument | `contract/commands::every_option_of_the_contract_is_told_by_help`, `bad_input::a_password_is_never_said` |
//! | exit codes 0, 1, 2, 3, 4, 6, 64 | `contract/commands::each_exit_code_means_what_it_promises` |
//! | exit code 5 | `lifecycle::a_second_writer_waits_and_then_says_who_holds_the_lock` |
//! | exit code 130 | `watching::one_broken_manifest_stops_only_itself` |
//! | exit code 143 | `watching::a_killed_private_server_is_started_again` |
//! | data on stdout, the rest on stderr; JSON is one value | `contract/streams::standard_output_is_data_alone`, `outputs::standard_output_is_one_json_value_whatever_goes_wrong` |
//! | `NO_COLOR`, `--color`, `CLICOLOR_FORCE`, the terminal, in that order | `contract/streams::colour_is_decided_in_one_order` |
//! | symbols mean the same without colour | `contract/streams::a_plan_says_the_same_without_colour` |
//! | no prompt without a terminal, and one with it | `contract/streams::a_terminal_is_asked`, `lifecycle::nobody_is_asked_where_nobody_can_answer` |
//! | the last line of every plan; deletions at the end | `contract/streams::every_plan_ends_with_what_ends_something_and_its_summary` |
//! | errors all at once, sorted, with their place | `src/manifest/tests::invalid_samples_tell_what_is_wrong` |
//! | `history`, `show REVISION`, `rollback` | `reviewing::history_tells_who_changed_what_and_a_rollback_stands_until_the_manifest_changes` |
//! | `show` of a plan and of what is live | `reviewing::show_prints_a_saved_plan_and_what_is_live` |
//! | `adopt` | `reviewing::what_is_live_is_adopted_into_the_manifest_and_nothing_else_of_it_changes` |
//! | `import`, `fmt` | `import::an_import_of_everything_leaves_nothing_to_do`, `formatting::a_folder_is_formatted_and_a_second_time_unchanged` |
//! | `pause --for --reason` | `lifecycle::a_pause_ends_by_itself_and_is_in_the_history` |
//! | `start`, `stop`, `delete`, `unblock`, `resolve` | `lifecycle::operators_act_unless_git_owns_the_run_state`, `sending::a_banned_account_stops_and_another_takes_its_contact_over`, `sending::every_fault_ends_as_its_class_says` |
//! | `reports`, `reports replay` | `reports/delivery::what_was_given_up_is_listed_and_replayed` |
//! | `audience` | `commands::an_audience_is_shown_with_what_became_of_each` |
//! | `dialogues` | `operators/lists::dialogues_are_listed_by_what_is_asked_for`, `operators/lists::every_page_of_a_list_is_read_from_an_index_at_100_000_dialogues` |
//! | `dialogue show`, `say`, `take`, `give-back`, `close`, `unblock` | `operators/acts::a_dialogue_is_shown_with_what_became_of_each_message`, `operators/acts::operators_act_and_are_told_exactly_what_they_did`, `operators/acts::an_operator_speaks_and_the_ai_is_silent`, `operators/acts::a_blocked_dialogue_goes_on_with_what_was_granted` |
//! | `resolve` of replies | `operators/standing::a_reply_in_doubt_is_resolved_by_its_own_number` |
//! | `spending` | `operators/lists::spending_is_summed_by_what_is_asked_for` |
//! | `status` of dialogues and of an AI that rests | `operators/standing::status_counts_dialogues_and_tells_of_an_ai_that_rests` |
//! | `forecast` | `forecasting::an_audience_is_exhausted_within_a_pause_of_the_forecast` |
//! | `rehearse` | `commands::a_rehearsal_sends_for_real_and_leaves_nothing_behind` |
//! | `db migrate`, `status`, `psql`, `guard` | `commands::a_pipeline_migrates_and_is_told_what_was_done`, `commands::the_database_is_shown_in_numbers`, `commands::psql_runs_on_the_same_database_and_finds_no_other`, `commands::while_the_guard_is_on_nobody_has_a_turn` |
//! | `watch --once`, `--git` | `following::once_reconciles_a_single_time_and_says_how_it_went`, `remote::a_branch_is_followed_also_where_it_was_forced` |
//! | `doctor`, `completions` | `doctor::where_all_is_well_every_line_says_so`, `outputs::a_shell_completes_commands_and_the_forms_of_an_output` |
//! | `explain CODE` | `outputs::every_code_is_explained_and_an_unknown_one_is_guessed` |
//! | a cause is told once | `lifecycle::an_edit_that_breaks_the_rest_of_the_manifest_is_told_as_what_it_is` |
//! | the JSON plan, field by field | `goldens::a_plan_as_data_is_as_its_golden_file`, `foreign::plans_are_as_their_schema_says` |
//! | an unknown major is refused | `contract/commands::a_plan_of_an_unknown_format_is_refused` |
//! | a saved plan is bound task by task | `reviewing::what_is_not_what_was_reviewed_is_not_applied` |
//! | two plans of the same input are the same bytes | `reviewing::plans_of_the_same_input_are_the_same_bytes` |
//! | an unreadable or vanished folder is an error | `bad_input::a_missing_folder_is_an_error`, `watching::a_folder_that_vanishes_deletes_nothing` |
//! | too many deletions, an audience that shrinks | `reviewing::too_much_at_once_is_rejected_until_it_is_allowed` |
//! | one bad manifest stops a pipeline, and in `watch` itself alone | `reviewing::what_is_allowed_goes_on_when_it_shall_keep_going`, `watching::one_broken_manifest_stops_only_itself` |
//! | protection outlives its file | `contract/commands::a_protected_task_outlives_its_file` |
//! | a rollback stands until the manifests change | `reviewing::history_tells_who_changed_what_and_a_rollback_stands_until_the_manifest_changes` |
//! | all of a plan or nothing | `chaos::an_apply_that_is_killed_wrote_all_of_its_plan_or_nothing` |
//! | one writer, a lock that dies with its owner | `lifecycle::a_second_writer_waits_and_then_says_who_holds_the_lock`, `chaos::two_hundred_kills_double_nobody_and_lose_nobody` |
//! | `watch` waits for git, follows a swapped link | `watching::a_git_operation_is_waited_out`, `watching::a_swapped_symlink_is_followed` |
//! | schemas: current, draft-07, `x-immutable`, first lines | `src/manifest/tests::the_schema_says_what_editors_need`, `src/manifest/tests::the_committed_schema_is_current`, `foreign::the_schema_accepts_what_is_valid_and_refuses_what_a_schema_can_refuse` |
//! | unknown and duplicate keys, alias bombs, oversized files | `bad_input::a_bad_file_is_one_problem_with_its_place`, `bad_input::a_huge_file_is_refused_by_its_length` |
//! | long work says how far it is | `contract/commands::a_long_load_says_every_few_seconds_how_far_it_is` |
//! | `forget`, `suppress`, `unsuppress` | `suppressing::nothing_in_any_table_names_a_person_who_was_forgotten`, `suppressing::who_is_suppressed_is_written_to_by_no_task_and_no_drift_is_seen`, `suppressing::a_suppression_ends_only_by_an_act_that_says_why_and_is_on_record` |

mod commands;
mod streams;

use std::{fs, path::Path};

use crate::support::{Ended, Folder, Program, TestDatabase, channel, vk_task};

/// Variables of a program.
type Environment<'a> = &'a [(&'a str, &'a str)];

struct Bench {
    folder: Folder,
    database: TestDatabase,
}

impl Bench {
    fn new() -> Self {
        Self { folder: Folder::with_team(), database: TestDatabase::new() }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments).database(&self.database)
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.program(arguments).run()
    }

    /// Runs a line, and looks at its exit code.
    #[track_caller]
    fn told(&self, line: &str, code: i32) -> Ended {
        let ended = self.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, code, "{line}: {}{}", ended.stdout, ended.stderr);
        ended
    }

    #[track_caller]
    fn ends(&self, line: &str, code: i32) {
        drop(self.told(line, code));
    }

    fn task(&self, name: &str, channel: &str, spec: &str) {
        self.folder.write(&format!("{name}.yaml"), &vk_task(name, channel, "[1, 2, 3]", spec));
    }

    /// A folder whose plan has something of everything, by `EVERYTHING`.
    fn with_everything() -> Self {
        let bench = Self::new();
        bench.folder.write("two.yaml", &channel("two", "vk-user", "token: {env: TWO}", ""));
        for name in ["updated", "recreated", "deleted", "rejected", "drifted"] {
            bench.task(name, "vk", "");
        }
        // Other people than the new one's, or it would be this one under a new name.
        bench.folder.write("deleted.yaml", &vk_task("deleted", "vk", "[9]", ""));
        bench.ends("apply --auto-approve", 0);
        bench.task("updated", "vk", "  title: New");
        bench.task("recreated", "two", "");
        bench.folder.remove("deleted.yaml");
        bench.task("rejected", "two", "");
        bench.database.run_as_stranger("UPDATE tasks SET daily_limit = 9 WHERE name = 'drifted'");
        bench.task("running", "vk", "  state: running");
        bench
    }
}

#[test]
fn the_table_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let head = include_str!("mod.rs").lines().take_while(|line| line.starts_with("//!"));
    let mut n_named = 0;
    for row in head.filter(|line| line.starts_with("//! |") && line.contains("::")) {
        let kept_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in kept_by.split(", ") {
            let name = name.trim_matches('`');
            let (file, test) = name.split_once("::").unwrap();
            let file =
                if file.starts_with("src/") { file.to_owned() } else { format!("tests/it/{file}") };
            let text = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
            assert!(text.contains(&format!("fn {test}(")), "there is no test {name}: {row}");
            n_named += 1;
        }
    }
    assert!(n_named > 50, "the table was not found");
}
