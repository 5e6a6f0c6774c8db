-- Cycles of gc took the holds of volumes for those of a clock that ran ahead, and ended them after a
-- day. They are endless again. One that is gone comes back if nothing under its root can have
-- been freed yet: the root is still that of a snapshot, or no cycle has looked into it.

-- +goose Up
UPDATE holds SET until = 9223372036854775807 WHERE id IN (SELECT hold FROM volumes WHERE hold <> 0);
INSERT INTO holds (id, root, until, why)
SELECT v.hold, v.root, 9223372036854775807, 'volume ' || v.id FROM volumes v
WHERE v.hold <> 0 AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.id = v.hold) AND EXISTS (
	SELECT 1 FROM files f WHERE f.id = v.root AND f.kind = 'root' AND f.state = 'closed' AND (
		EXISTS (SELECT 1 FROM snapshots s WHERE s.root = f.id)
		OR EXISTS (SELECT 1 FROM file_candidates c WHERE c.file = f.id AND c.expanded = 0)));

-- +goose Down
SELECT 1;
