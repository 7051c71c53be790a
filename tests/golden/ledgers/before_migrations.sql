PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE studies (
	study_uid VARCHAR(64) NOT NULL, 
	revision INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	first_instance_at FLOAT NOT NULL, 
	last_instance_at FLOAT NOT NULL, 
	instances INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	changed_at FLOAT NOT NULL, 
	holder VARCHAR(128) NOT NULL, 
	lease_until FLOAT NOT NULL, 
	queued_at FLOAT NOT NULL, 
	due_at FLOAT NOT NULL, 
	summary TEXT, 
	PRIMARY KEY (study_uid, revision)
);
INSERT INTO studies VALUES('2.25.1',1,'RECEIVING','instances arrive',1700000001.0,1700000002.0,2,0,1700000001.0,'',0.0,0.0,0.0,NULL);
INSERT INTO studies VALUES('2.25.2',1,'READY','quiet for 15 s',1700000003.0,1700000004.0,2,0,1700000005.0,'',0.0,0.0,1700000005.0,NULL);
INSERT INTO studies VALUES('2.25.3',1,'ASSESSING','by host:1',1700000006.0,1700000007.0,2,1,1700000009.0,'host:1',1700000039.0,0.0,1700000008.0,NULL);
INSERT INTO studies VALUES('2.25.4',1,'ASSESSED','1 product(s), 2 delivery(ies)',1700000010.0,1700000011.0,2,1,1700000014.0,'',1700000043.0,0.0,1700000012.0,'{"flags": []}');
INSERT INTO studies VALUES('2.25.5',1,'DELIVERED','1 delivery(ies) acknowledged',1700000019.0,1700000020.0,2,1,1700000025.0,'',1700000052.0,0.0,1700000021.0,'{"flags": []}');
INSERT INTO studies VALUES('2.25.6',1,'FAILED','1 delivery(ies) given up; see `triage status` and `triage replay`',1700000026.0,1700000027.0,2,1,1700000032.0,'',1700000059.0,0.0,1700000028.0,'{"flags": []}');
CREATE TABLE instances (
	study_uid VARCHAR(64) NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	series_uid VARCHAR(64) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	modality VARCHAR(16) NOT NULL, 
	path TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	revision INTEGER NOT NULL, 
	calling_ae VARCHAR(16) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	received_at FLOAT NOT NULL, 
	cardiac_images INTEGER DEFAULT '0' NOT NULL, 
	place VARCHAR(64) DEFAULT '' NOT NULL, 
	PRIMARY KEY (study_uid, sop_instance_uid)
);
INSERT INTO instances VALUES('2.25.1','2.25.1.1.1','2.25.1.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.1/1.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000001.0,0,'');
INSERT INTO instances VALUES('2.25.1','2.25.1.1.2','2.25.1.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.1/2.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000002.0,0,'');
INSERT INTO instances VALUES('2.25.2','2.25.2.1.1','2.25.2.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.2/1.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000003.0,0,'');
INSERT INTO instances VALUES('2.25.2','2.25.2.1.2','2.25.2.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.2/2.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000004.0,0,'');
INSERT INTO instances VALUES('2.25.3','2.25.3.1.1','2.25.3.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.3/1.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000006.0,0,'');
INSERT INTO instances VALUES('2.25.3','2.25.3.1.2','2.25.3.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.3/2.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000007.0,0,'');
INSERT INTO instances VALUES('2.25.4','2.25.4.1.1','2.25.4.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.4/1.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000010.0,0,'');
INSERT INTO instances VALUES('2.25.4','2.25.4.1.2','2.25.4.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.4/2.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000011.0,0,'');
INSERT INTO instances VALUES('2.25.5','2.25.5.1.1','2.25.5.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.5/1.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000019.0,0,'');
INSERT INTO instances VALUES('2.25.5','2.25.5.1.2','2.25.5.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.5/2.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000020.0,0,'');
INSERT INTO instances VALUES('2.25.6','2.25.6.1.1','2.25.6.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.6/1.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000026.0,0,'');
INSERT INTO instances VALUES('2.25.6','2.25.6.1.2','2.25.6.1','1.2.840.10008.5.1.4.1.1.4','MR','2.25.6/2.dcm','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,'PACS','127.0.0.1',1700000027.0,0,'');
CREATE TABLE commitments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	requestor VARCHAR(16) NOT NULL, 
	transaction_uid VARCHAR(64) NOT NULL, 
	content TEXT NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	due_at FLOAT NOT NULL, 
	UNIQUE (requestor, transaction_uid)
);
CREATE TABLE announcements (
	uid VARCHAR(64) NOT NULL, 
	study_uid VARCHAR(64) NOT NULL, 
	stage VARCHAR(16) NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (uid)
);
CREATE TABLE history (
	id INTEGER NOT NULL, 
	study_uid VARCHAR(64) NOT NULL, 
	revision INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	event VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO history VALUES(1,'2.25.1',1,1700000001.0,'instance received','RECEIVING','instances arrive');
INSERT INTO history VALUES(2,'2.25.2',1,1700000003.0,'instance received','RECEIVING','instances arrive');
INSERT INTO history VALUES(3,'2.25.2',1,1700000005.0,'judged complete','READY','quiet for 15 s');
INSERT INTO history VALUES(4,'2.25.3',1,1700000006.0,'instance received','RECEIVING','instances arrive');
INSERT INTO history VALUES(5,'2.25.3',1,1700000008.0,'judged complete','READY','quiet for 15 s');
INSERT INTO history VALUES(6,'2.25.3',1,1700000009.0,'claimed by a worker','ASSESSING','by host:1');
INSERT INTO history VALUES(7,'2.25.4',1,1700000010.0,'instance received','RECEIVING','instances arrive');
INSERT INTO history VALUES(8,'2.25.4',1,1700000012.0,'judged complete','READY','quiet for 15 s');
INSERT INTO history VALUES(9,'2.25.4',1,1700000013.0,'claimed by a worker','ASSESSING','by host:1');
INSERT INTO history VALUES(10,'2.25.4',1,1700000014.0,'assessed','ASSESSED','1 product(s), 2 delivery(ies)');
INSERT INTO history VALUES(11,'2.25.5',1,1700000019.0,'instance received','RECEIVING','instances arrive');
INSERT INTO history VALUES(12,'2.25.5',1,1700000021.0,'judged complete','READY','quiet for 15 s');
INSERT INTO history VALUES(13,'2.25.5',1,1700000022.0,'claimed by a worker','ASSESSING','by host:1');
INSERT INTO history VALUES(14,'2.25.5',1,1700000023.0,'assessed','ASSESSED','1 product(s), 1 delivery(ies)');
INSERT INTO history VALUES(15,'2.25.5',1,1700000025.0,'acknowledged by every destination','DELIVERED','1 delivery(ies) acknowledged');
INSERT INTO history VALUES(16,'2.25.6',1,1700000026.0,'instance received','RECEIVING','instances arrive');
INSERT INTO history VALUES(17,'2.25.6',1,1700000028.0,'judged complete','READY','quiet for 15 s');
INSERT INTO history VALUES(18,'2.25.6',1,1700000029.0,'claimed by a worker','ASSESSING','by host:1');
INSERT INTO history VALUES(19,'2.25.6',1,1700000030.0,'assessed','ASSESSED','1 product(s), 1 delivery(ies)');
INSERT INTO history VALUES(20,'2.25.6',1,1700000032.0,'given up by a destination','FAILED','1 delivery(ies) given up; see `triage status` and `triage replay`');
CREATE TABLE incidents (
	id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	detail TEXT NOT NULL, 
	calling_ae VARCHAR(16) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	times INTEGER DEFAULT '1' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO incidents VALUES(1,1700000033.0,'rejected association','unknown AE title ''X''','X','10.0.0.9','',1);
INSERT INTO incidents VALUES(2,1700000034.0,'rejected association','unknown AE title ''Y''','Y','10.0.0.9','',3);
CREATE TABLE case_rows (
	bundle VARCHAR(64) NOT NULL, 
	next INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	PRIMARY KEY (bundle)
);
CREATE TABLE cases (
	bundle VARCHAR(64) NOT NULL, 
	study_uid VARCHAR(64) NOT NULL, 
	"row" INTEGER NOT NULL, 
	patient VARCHAR(64) NOT NULL, 
	study_date VARCHAR(8) NOT NULL, 
	vendor VARCHAR(64) NOT NULL, 
	found TEXT NOT NULL, 
	confirmed TEXT NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (bundle, study_uid), 
	UNIQUE (bundle, "row")
);
CREATE TABLE forgotten (
	patient VARCHAR(64) NOT NULL, 
	PRIMARY KEY (patient)
);
CREATE TABLE fittings (
	bundle VARCHAR(64) NOT NULL, 
	finding VARCHAR(32) NOT NULL, 
	patients TEXT NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (bundle, finding)
);
CREATE TABLE announced_instances (
	uid VARCHAR(64) NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	PRIMARY KEY (uid, sop_instance_uid), 
	FOREIGN KEY(uid) REFERENCES announcements (uid)
);
CREATE TABLE products (
	sop_instance_uid VARCHAR(64) NOT NULL, 
	study_uid VARCHAR(64) NOT NULL, 
	revision INTEGER NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	content BLOB NOT NULL, 
	media_type VARCHAR(64) DEFAULT 'application/dicom' NOT NULL, 
	alternative_to VARCHAR(64) DEFAULT '' NOT NULL, 
	made_at FLOAT NOT NULL, 
	PRIMARY KEY (sop_instance_uid), 
	FOREIGN KEY(study_uid, revision) REFERENCES studies (study_uid, revision)
);
INSERT INTO products VALUES('2.25.4.9','2.25.4',1,'structured_report','1.2.840.10008.5.1.4.1.1.88.34',X'7265706f72742000206f6620322e32352e34','application/dicom','',1700000014.0);
INSERT INTO products VALUES('2.25.5.9','2.25.5',1,'structured_report','1.2.840.10008.5.1.4.1.1.88.34',X'7265706f72742000206f6620322e32352e35','application/dicom','',1700000023.0);
INSERT INTO products VALUES('2.25.6.9','2.25.6',1,'structured_report','1.2.840.10008.5.1.4.1.1.88.34',X'7265706f72742000206f6620322e32352e36','application/dicom','',1700000030.0);
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	study_uid VARCHAR(64) NOT NULL, 
	revision INTEGER NOT NULL, 
	destination VARCHAR(32) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_answer TEXT NOT NULL, 
	due_at FLOAT NOT NULL, 
	unreachable BOOLEAN NOT NULL, 
	lease_until FLOAT NOT NULL, 
	queued_at FLOAT NOT NULL, 
	changed_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (sop_instance_uid, destination), 
	FOREIGN KEY(sop_instance_uid) REFERENCES products (sop_instance_uid)
);
INSERT INTO deliveries VALUES(1,'2.25.4.9','2.25.4',1,'pacs','DELIVERED',1,'0x0000 Success',1700000014.0,0,1700000075.0,0.0,1700000016.0);
INSERT INTO deliveries VALUES(2,'2.25.4.9','2.25.4',1,'archive','PENDING',1,'0xA700 Out of resources',1700000028.0,0,0.0,0.0,1700000018.0);
INSERT INTO deliveries VALUES(3,'2.25.5.9','2.25.5',1,'pacs','DELIVERED',1,'0x0000 Success',1700000023.0,0,1700000084.0,0.0,1700000025.0);
INSERT INTO deliveries VALUES(4,'2.25.6.9','2.25.6',1,'pacs','FAILED',1,'0x0122 SOP class not supported',1700000030.0,0,1700000091.0,0.0,1700000032.0);
DELETE FROM sqlite_sequence;
CREATE INDEX studies_by_state ON studies (state);
CREATE INDEX instances_by_uid ON instances (sop_instance_uid);
CREATE INDEX announcements_by_time ON announcements (at);
CREATE INDEX announcements_by_study ON announcements (study_uid);
CREATE INDEX ix_history_study_uid ON history (study_uid);
CREATE INDEX cases_by_patient ON cases (patient);
CREATE INDEX products_by_study ON products (study_uid, revision);
CREATE INDEX deliveries_by_study ON deliveries (study_uid, revision);
CREATE INDEX deliveries_by_state ON deliveries (state);
COMMIT;
