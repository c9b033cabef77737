-- Ten tasks over 120 channels.
INSERT INTO tasks (id, name, phase, phase_by, fields, digest, audience_digest, file, line, outgoing,
    hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening)
SELECT gen_random_uuid(), 'task-' || n, 'in-progress', 'bench', '{"ai": "sales", "managers": ["anna"],
    "integration": "crm", "spendingLimitPerDialogue": {"number": "0.50"}}', '', '', '', 1, true, 0, 86400, 'UTC',
    1000, 3000, '{"text": "Hello!"}'
FROM generate_series(0, 9) n;
INSERT INTO resources (kind, name, fields, digest, file, line)
VALUES ('Ai', 'sales', '{}', '\x00', '', 1), ('Manager', 'anna', '{}', '\x00', '', 1),
    ('Integration', 'crm', '{"events": ["success"]}', decode(repeat('00', 32), 'hex'), '', 1);
INSERT INTO resources (kind, name, fields, digest, file, line)
SELECT 'Channel', 'vk-' || n, '{"kind": "vk-user"}', '\x00', '', 1 FROM generate_series(0, 119) n;
INSERT INTO lanes (channel, daily_limit, drops_repeats)
SELECT 'vk-' || n, 1000, true FROM generate_series(0, 119) n;
INSERT INTO task_channels (task_id, channel)
SELECT t.id, 'vk-' || n FROM generate_series(0, 119) n JOIN tasks t ON t.name = 'task-' || n % 10;
