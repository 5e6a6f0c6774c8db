package bucketpolicy

import (
	"path"
	"slices"
	"strings"
)

// S3's texts for policies that it does not take, and that IAM's language allows.
const (
	textResource  = "Policy has invalid resource"
	textAction    = "Policy has invalid action"
	textNoUse     = "Action does not apply to any resource(s) in statement"
	textCondition = "Policy has an invalid condition key"
)

// The actions that S3 has, in lower case and without "s3:", by what they act on.
const (
	objectActions = `abortmultipartupload bypassgovernanceretention deleteobject deleteobjectannotation deleteobjecttagging deleteobjectversion
		deleteobjectversiontagging getobject getobjectacl getobjectannotation getobjectattributes getobjectlegalhold getobjectretention getobjecttagging
		getobjecttorrent getobjectversion getobjectversionacl getobjectversionattributes getobjectversionforreplication getobjectversiontagging
		getobjectversiontorrent initiatereplication listmultipartuploadparts objectowneroverridetobucketowner putobject putobjectacl putobjectannotation
		putobjectlegalhold putobjectretention putobjecttagging putobjectversionacl putobjectversiontagging renameobject replicatedelete replicateobject
		replicatetags restoreobject selectobjectcontent updateobjectencryption`
	bucketActions = `createbucket createbucketmetadatatableconfiguration deletebucket deletebucketmetadatatableconfiguration
		deletebucketownershipcontrols deletebucketpolicy deletebucketpublicaccessblock deletebucketwebsite getaccelerateconfiguration
		getanalyticsconfiguration getbucketabac getbucketacl getbucketcors getbucketlocation getbucketlogging getbucketmetadatatableconfiguration
		getbucketnotification getbucketobjectlockconfiguration getbucketownershipcontrols getbucketpolicy getbucketpolicystatus getbucketpublicaccessblock
		getbucketrequestpayment getbuckettagging getbucketversioning getbucketwebsite getencryptionconfiguration getintelligenttieringconfiguration
		getinventoryconfiguration getlifecycleconfiguration getmetricsconfiguration getreplicationconfiguration listbucket listbucketmultipartuploads
		listbucketversions listtagsforresource pausereplication putaccelerateconfiguration putanalyticsconfiguration putbucketabac putbucketacl
		putbucketcors putbucketlogging putbucketnotification putbucketobjectlockconfiguration putbucketownershipcontrols putbucketpolicy
		putbucketpublicaccessblock putbucketrequestpayment putbuckettagging putbucketversioning putbucketwebsite putencryptionconfiguration
		putintelligenttieringconfiguration putinventoryconfiguration putlifecycleconfiguration putmetricsconfiguration putreplicationconfiguration
		tagresource untagresource updatebucketmetadataannotationtableconfiguration updatebucketmetadatainventorytableconfiguration
		updatebucketmetadatajournaltableconfiguration`
	// otherActions are about accounts, access points, jobs and the like.
	otherActions = `associateaccessgrantsidentitycenter createaccessgrant createaccessgrantsinstance createaccessgrantslocation createaccesspoint
		createaccesspointforobjectlambda createjob createmultiregionaccesspoint createstoragelensgroup deleteaccessgrant deleteaccessgrantsinstance
		deleteaccessgrantsinstanceresourcepolicy deleteaccessgrantslocation deleteaccesspoint deleteaccesspointforobjectlambda deleteaccesspointpolicy
		deleteaccesspointpolicyforobjectlambda deletejobtagging deletemultiregionaccesspoint deletestoragelensconfiguration
		deletestoragelensconfigurationtagging deletestoragelensgroup describejob describemultiregionaccesspointoperation
		dissociateaccessgrantsidentitycenter getaccessgrant getaccessgrantsinstance getaccessgrantsinstanceforprefix
		getaccessgrantsinstanceresourcepolicy getaccessgrantslocation getaccesspoint getaccesspointconfigurationforobjectlambda
		getaccesspointforobjectlambda getaccesspointpolicy getaccesspointpolicyforobjectlambda getaccesspointpolicystatus
		getaccesspointpolicystatusforobjectlambda getaccountpublicaccessblock getdataaccess getjobtagging getmultiregionaccesspoint
		getmultiregionaccesspointpolicy getmultiregionaccesspointpolicystatus getmultiregionaccesspointroutes getstoragelensconfiguration
		getstoragelensconfigurationtagging getstoragelensdashboard getstoragelensgroup listaccessgrants listaccessgrantsinstances
		listaccessgrantslocations listaccesspoints listaccesspointsforobjectlambda listallmybuckets listcalleraccessgrants listjobs
		listmultiregionaccesspoints liststoragelensconfigurations liststoragelensgroups putaccessgrantsinstanceresourcepolicy
		putaccesspointconfigurationforobjectlambda putaccesspointpolicy putaccesspointpolicyforobjectlambda putaccesspointpublicaccessblock
		putaccountpublicaccessblock putjobtagging putmultiregionaccesspointpolicy putstoragelensconfiguration putstoragelensconfigurationtagging
		submitmultiregionaccesspointroutes updateaccessgrantslocation updatejobpriority updatejobstatus updatestoragelensgroup`
)

// The condition keys that a bucket policy may test, in lower case. One that ends in a stroke is
// followed by the key of a tag.
const (
	globalKeys = `aws:assumedroot aws:calledvia aws:calledviafirst aws:calledvialast aws:chatbotsourcearn aws:currenttime
		aws:ec2instancesourceprivateipv4 aws:ec2instancesourcevpc aws:epochtime aws:federatedprovider aws:multifactorauthage aws:multifactorauthpresent
		aws:principalaccount aws:principalarn aws:principalisawsservice aws:principalorgid aws:principalorgpaths aws:principalservicename
		aws:principalservicenameslist aws:principaltag/ aws:principaltype aws:referer aws:requestedregion aws:requesttag/ aws:resourceaccount
		aws:resourceorgid aws:resourceorgpaths aws:resourcetag/ aws:securetransport aws:signinsessionarn aws:sourceaccount aws:sourcearn
		aws:sourceidentity aws:sourceip aws:sourceorgid aws:sourceorgpaths aws:sourceowner aws:sourcevpc aws:sourcevpcarn aws:sourcevpce aws:tagkeys
		aws:tokenissuetime aws:useragent aws:userid aws:username aws:viaawsservice aws:vpceaccount aws:vpceorgid aws:vpceorgpaths aws:vpcsourceip`
	s3Keys = `s3:accessgrantsinstancearn s3:accesspointnetworkorigin s3:accesspointtag/ s3:authtype s3:buckettag/ s3:dataaccesspointaccount
		s3:dataaccesspointarn s3:delimiter s3:destinationregion s3:existingobjecttag/ s3:if-match s3:if-none-match s3:inventoryaccessibleoptionalfields
		s3:isreplicationpauserequest s3:locationconstraint s3:max-keys s3:object-lock-legal-hold s3:object-lock-mode
		s3:object-lock-remaining-retention-days s3:object-lock-retain-until-date s3:objectcreationoperation s3:prefix s3:requestobjecttag/
		s3:requestobjecttagkeys s3:resourceaccount s3:signatureage s3:signatureversion s3:tlsversion s3:versionid s3:x-amz-acl s3:x-amz-content-sha256
		s3:x-amz-copy-source s3:x-amz-grant-full-control s3:x-amz-grant-read s3:x-amz-grant-read-acp s3:x-amz-grant-write s3:x-amz-grant-write-acp
		s3:x-amz-metadata-directive s3:x-amz-object-ownership s3:x-amz-server-side-encryption s3:x-amz-server-side-encryption-aws-kms-key-id
		s3:x-amz-server-side-encryption-customer-algorithm s3:x-amz-storage-class s3:x-amz-website-redirect-location`
	// otherServices have keys that say where a request comes from.
	otherServices = "bedrock-agentcore codebuild ec2 glue identitystore lambda saml ssm sts"
)

// Complaint returns what S3 says of a valid policy for the bucket with an ARN that it does not
// take nevertheless, or "".
func Complaint(document []byte, bucket string) string {
	for _, s := range Statements(document) {
		if text := s.complaint(bucket); text != "" {
			return text
		}
	}
	return ""
}

func (s Statement) complaint(bucket string) string {
	for _, r := range slices.Concat(s.Resource, s.NotResource) {
		if r != bucket && !strings.HasPrefix(r, bucket+"/") {
			return textResource
		}
	}
	for _, a := range slices.Concat(s.Action, s.NotAction) {
		if !anyOf(a, objectActions, bucketActions, otherActions) {
			return textAction
		}
	}
	for _, a := range s.Action {
		if s.NotResource == nil && !s.hasUse(a, bucket) {
			return textNoUse
		}
	}
	for _, keys := range s.Condition {
		for key := range keys {
			if !isConditionKey(strings.ToLower(key)) {
				return textCondition
			}
		}
	}
	return ""
}

// hasUse reports whether an action, or one of those that a pattern covers, acts on what any
// of the resources is.
func (s Statement) hasUse(action, bucket string) bool {
	return slices.ContainsFunc(s.Resource, func(r string) bool {
		if r == bucket {
			return anyOf(action, bucketActions)
		}
		return anyOf(action, objectActions)
	})
}

// anyOf reports whether a pattern of actions covers any of the lists.
func anyOf(pattern string, lists ...string) bool {
	name, ok := strings.CutPrefix(strings.ToLower(pattern), "s3:")
	if pattern == "*" {
		name, ok = "*", true
	}
	return ok && slices.ContainsFunc(lists, func(list string) bool {
		return slices.ContainsFunc(strings.Fields(list), func(action string) bool {
			match, err := path.Match(name, action)
			return match && err == nil
		})
	})
}

// isConditionKey reports whether a bucket policy may test a key, which is in lower case.
func isConditionKey(key string) bool {
	service, rest, ok := strings.Cut(key, ":")
	switch {
	case !ok || rest == "":
		return false
	case service != "aws" && service != "s3":
		// What has a dot is an identity provider.
		return strings.Contains(service, ".") || slices.Contains(strings.Fields(otherServices), service)
	}
	name, tag, tagged := strings.Cut(key, "/")
	if tagged {
		name += "/"
	}
	return slices.Contains(strings.Fields(globalKeys+" "+s3Keys), name) && tagged == (tag != "")
}
